"""Predictions in COCO's formats: objects as run lengths, and panoptic maps with their list of segments.

Sources: https://cocodataset.org/#format-data and `maskApi.c` of pycocotools (Lin et al. 2014); Kirillov et al. 2019 for
the panoptic format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.images import write_png
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import InstancePrediction, SemanticPrediction
from multisigma.files import write_text

__all__ = ["CocoWriter", "encode_mask"]


class CocoWriter:
    """Collect the predictions of images, and write them as COCO does.

        FOLDER/instances.json        images, categories and objects, for `pycocotools.coco.COCO`
        FOLDER/panoptic.json         segments of each image: objects, and each other class as one segment
        FOLDER/panoptic/NAME.png     the segment of each pixel: id = R + 256 G + 65536 B, 0 for none

    An entry of `annotations` in `instances.json` has a score too, so that the list serves as COCO's results. Of a
    video's frame it has `track_id`.

    Args:
        folder: Folder to write into; it is made.
        labels: The classes of the predictions.

    Example:
        writer = CocoWriter(Path("coco"), model.info.labels)
        writer.add("street", "street.jpg", model.predict("street.jpg"))
        writer.write()
    """

    def __init__(self, folder: Path, labels: LabelSpace) -> None:
        self.folder, self.labels = folder, labels
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._panoptic: list[dict[str, Any]] = []

    def add(self, name: str, file_name: str, scene: Mapping[str, Any]) -> None:
        """Add an image, and write its panoptic map.

        Args:
            name: Name of the image, for its panoptic file.
            file_name: The image's file, as the user knows it.
            scene: Each task's result; those of 'semantic' and 'instance' are written.

        Raises:
            MultisigmaError: The map cannot be written.
        """
        semantic: SemanticPrediction | None = scene.get("semantic")
        instances: InstancePrediction | None = scene.get("instance")
        if semantic is None:
            return
        image_id = len(self._images) + 1
        height, width = semantic.ids.shape
        self._images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        things = [label.id for label in self.labels.instance_classes]
        # A pixel of a class with instances that belongs to none has no segment. A class may have the id 0.
        segments = np.where(np.isin(semantic.ids, things), 0, semantic.ids.astype(np.int64) + 1)
        category_of = {i + 1: i for i in range(256)}
        first = 257
        # A model's objects know their numbers in a video; objects from files have none.
        tracks = [getattr(instance, "track", None) for instance in getattr(instances, "instances", None) or ()]
        for number, region in enumerate((instances and instances.regions) or ()):
            rows, columns = region.mask.shape
            area = np.s_[region.top : region.top + rows, region.left : region.left + columns]
            whole = np.zeros((height, width), bool)
            whole[area] = region.mask
            segments[area][region.mask] = first + number
            category_of[first + number] = region.class_id
            track = tracks[number] if tracks else None
            self._objects.append(
                {
                    "id": len(self._objects) + 1,
                    "image_id": image_id,
                    "category_id": region.class_id,
                    "segmentation": {"size": [height, width], "counts": encode_mask(whole)},
                    "area": int(region.mask.sum()),
                    "bbox": [region.left, region.top, columns, rows],
                    "iscrowd": 0,
                    "score": round(float(region.confidence), 6),
                    **({} if track is None else {"track_id": track}),
                }
            )
        file = f"{name}.png"
        self._panoptic.append(
            {"image_id": image_id, "file_name": file, "segments_info": _segments(segments, category_of)}
        )
        (self.folder / "panoptic").mkdir(parents=True, exist_ok=True)
        colours = np.stack([segments >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        write_png(self.folder / "panoptic" / file, colours)

    def write(self) -> None:
        """Write both JSON files.

        Raises:
            MultisigmaError: A file cannot be written.
        """
        things = {label.id for label in self.labels.instance_classes}
        classes = [
            {"id": label.id, "name": label.name, "supercategory": label.category, "isthing": int(label.id in things)}
            for label in self.labels.train_classes
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        common = {"images": self._images, "categories": classes}
        for name, entries in (("instances", self._objects), ("panoptic", self._panoptic)):
            write_text(self.folder / f"{name}.json", json.dumps({**common, "annotations": entries}))


def _segments(segments: NDArray[np.int64], category_of: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return the list of a panoptic map's segments."""
    found = []
    for i in np.unique(segments[segments > 0]).tolist():
        rows, columns = np.nonzero(segments == i)
        left, top = int(columns.min()), int(rows.min())
        box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
        found.append({"id": i, "category_id": category_of[i], "area": len(rows), "bbox": box, "iscrowd": 0})
    return found


def encode_mask(mask: NDArray[np.bool_]) -> str:
    """Return a mask as COCO's compressed run lengths.

    Runs go down the columns and begin with one of pixels outside. From the fourth on, the difference to the run two
    before is written, in groups of five bits, the lowest first: bit 6 says that another group follows, and bit 5 of the
    last is the sign. 48 is added to each group.

    Args:
        mask: Shape (H, W).

    Example:
        >>> encode_mask(np.eye(3, dtype=bool))
        '013000'
    """
    flat = np.concatenate([[False], mask.T.ravel(), [not mask[-1, -1]]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(changes, prepend=0).tolist()
    text = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + group + 32 * more))
    return "".join(text)
