"""Sample pictures of a run, as files that the report reads."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.images import write_png
from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder
from multisigma.visualization.picture import Sample

SIDES: Final = ("prediction", "truth", "error")
"""The parts of a picture that are files."""


def write_samples(folder: Path, samples: Sequence[Sample], labels: LabelSpace | None = None) -> None:
    """Write a folder of samples anew: the pictures as PNG, `samples.json` and `legend.json`.

    The folder is written under a temporary name and then takes the place of the old one, so that a reader finds the old
    samples or the new ones and never half of them.

    Args:
        folder: The folder.
        samples: The frames in the order in which they are shown.
        labels: The classes, whose colours make the legend; None for no legend.

    Raises:
        MultisigmaError: If a picture is not RGB of uint8.
    """
    with new_folder(folder, replace=True) as fresh:
        entries: list[dict[str, object]] = []
        for number, sample in enumerate(samples):
            pictures: list[dict[str, Any]] = []
            for picture in sample.pictures:
                entry: dict[str, Any] = {"title": picture.title}
                for name, scale in (("scale", picture.scale), ("error_scale", picture.error_scale)):
                    entry[name] = None if scale is None else asdict(scale)
                for side in SIDES:
                    pixels: NDArray[np.uint8] | None = getattr(picture, side)
                    entry[side] = None
                    if pixels is None:
                        continue
                    if pixels.dtype.name != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
                        raise MultisigmaError(
                            f"Picture {picture.title!r} ({side}) of frame {sample.frame!r} should be uint8 of shape "
                            f"(H, W, 3). Found {pixels.dtype} of shape {pixels.shape}."
                        )
                    name = f"{number:03d}-{len(pictures)}-{_slug(picture.title)}-{side}.png"
                    write_png(fresh / name, pixels)
                    entry[side] = name
                pictures.append(entry)
            entries.append({"frame": sample.frame, "pictures": pictures})
        classes = labels.train_classes if labels else ()
        colours = [{"name": label.name, "color": list(label.color)} for label in classes]
        (fresh / "samples.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")
        (fresh / "legend.json").write_text(json.dumps(colours, indent=1), encoding="utf-8")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "picture"
