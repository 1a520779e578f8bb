"""Which data set a user means by a path or a name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from multisigma.datasets.cityscapes import CityscapesDataset, list_frames
from multisigma.datasets.cityscapes import find_splits as find_cityscapes_splits
from multisigma.datasets.dataset import SceneDataset
from multisigma.errors import MultisigmaError

__all__ = ["find_splits", "open_dataset"]

_CLASS_PATH = re.compile(r"([^\W\d]\w*\.)+[^\W\d]\w*")


def open_dataset(
    data: str | Path, split: str, missing_labels: Literal["error", "unlabelled"] = "error"
) -> SceneDataset:
    """Open one split of a data set.

    Args:
        data: Root of a Cityscapes data set; or a class as 'package.module.Class', which is called with the split.
        split: Name of the split, such as 'train'.
        missing_labels: 'unlabelled' lets frames with a single missing file pass as unlabelled for that field.

    Raises:
        MultisigmaError: There is no such data set or split, or it is malformed.
    """
    if own := _own_class(data):
        return own(split)
    return CityscapesDataset(Path(data), split, list_frames(Path(data), split, missing_labels))


def find_splits(data: str | Path) -> list[str]:
    """Return the names of the splits of a data set, sorted.

    A class names them by its attribute `splits`; without it, 'train' and 'val' are taken to exist.

    Args:
        data: As for `open_dataset`.

    Raises:
        MultisigmaError: There is no such data set.
    """
    if own := _own_class(data):
        return sorted(getattr(own, "splits", ("train", "val")))
    return find_cityscapes_splits(Path(data))


def _own_class(data: str | Path) -> Callable[[str], SceneDataset] | None:
    """Return the class that a class path names; None if `data` is no class path."""
    text = str(data)
    if not _CLASS_PATH.fullmatch(text) or Path(data).exists():
        return None
    module, _, name = text.rpartition(".")
    try:
        own = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MultisigmaError(
            f"Option --data must be a folder, a YAML file, or a class as 'package.module.Class'. Found {text!r}, which "
            f"is neither there nor can be imported ({error}). Check the path; a module must be on the Python path."
        ) from error
    if not (isinstance(own, type) and issubclass(own, SceneDataset)):
        raise MultisigmaError(
            f"Option --data: {text} must be a class derived from multisigma.datasets.SceneDataset. Found {own!r}."
        )
    if missing := sorted(own.__abstractmethods__):
        raise MultisigmaError(
            f"Option --data: {text} must define all of a SceneDataset. Found no {', '.join(missing)}. "
            "`multisigma.datasets.SceneDataset` says what each returns."
        )
    return cast(Callable[[str], SceneDataset], own)
