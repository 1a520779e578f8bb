"""A packed copy of any data set: memory-mapped arrays, so that reading decodes nothing.

    ROOT/packed.json                        label space, and the names of the splits
    ROOT/SPLIT/frames.json                  name, camera and fields of each frame
    ROOT/SPLIT/NNNNNN_FIELD.npy             one field of one frame, as numpy stores arrays

A pixel with image, classes, instances and disparity takes 12 bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from multisigma.datasets.arrays import load_npy
from multisigma.datasets.augment import apply_transform
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import ClassMap, Directions, Disparity, Field, Image, InstanceMap
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.problems import DataError, Problem
from multisigma.datasets.transform import Transform
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder, read_text, write_text
from multisigma.progress import SILENT, Progress

__all__ = ["INDEX", "PackedDataset", "find_packed_splits", "open_packed", "pack"]

INDEX: Final = "packed.json"
"""Name of the file by which a packed copy is known."""

_FORMAT: Final = 1
_TYPES: Final[dict[str, Any]] = {kind.__name__: kind for kind in (Image, ClassMap, InstanceMap, Disparity, Directions)}
# Of each type of field, the kinds of its array's numbers, and the number of axes.
_FORMS: Final = {
    "Image": ("u", 3),
    "ClassMap": ("u", 2),
    "InstanceMap": ("iu", 2),
    "Disparity": ("f", 2),
    "Directions": ("f", 3),
}


@dataclass(frozen=True)
class PackedDataset(SceneDataset):
    """One split of a packed copy.

    Args:
        folder: Folder of the split.
        space: The label space.
        frames: What `frames.json` says of each frame.
    """

    folder: Path
    space: LabelSpace
    frames: Sequence[dict[str, Any]]

    @property
    def labels(self) -> LabelSpace:
        """The classes of the source."""
        return self.space

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, i: int) -> str:
        """Return the name of a frame in the source."""
        return str(self.frames[i]["name"])

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        """Read a frame. Its arrays are memory-mapped: a page loads when it is used. Raises `DataError`."""
        entry = self.frames[i]
        fields = {name: self._field(stored) for name, stored in entry["fields"].items() if only is None or name in only}
        camera = None if entry["camera"] is None else Camera(**entry["camera"])
        if len(shapes := {field.shape for field in fields.values()}) > 1:
            rule, found = "all fields of a frame must have the same size", " and ".join(f"{h}x{w}" for h, w in shapes)
            raise DataError(Problem(self.folder / entry["name"], rule, found, "Pack the data again."))
        return Frame(entry["name"], fields, camera, self.space)

    def label_counts(self) -> dict[str, int]:
        """Return how many frames have each field but the image, and how many a camera."""
        counts = Counter(name for entry in self.frames for name in entry["fields"] if name != "image")
        return {**counts, "camera": sum(entry["camera"] is not None for entry in self.frames)}

    def subset(self, indices: Sequence[int]) -> PackedDataset:
        """Return the data set of some frames, in the order of the indices."""
        return replace(self, frames=[self.frames[i] for i in indices])

    def remedy(self, field: str) -> str:
        """Return the remedy: add the field to the source, and pack it again."""
        return f"Add the field '{field}' to the source of {self.folder.parent}, and pack it again."

    def _field(self, stored: dict[str, Any]) -> Field:
        path = self.folder / stored["file"]
        # Copy on write: torch wants arrays that it may write to.
        array = load_npy(path, "c")
        kinds, axes = _FORMS[stored["type"]]
        if array.dtype.kind not in kinds or array.ndim != axes:
            rule = f"an array of type {stored['type']} must have {axes} axes"
            raise DataError(Problem(path, rule, f"{array.dtype} of shape {array.shape}", "Pack the data again."))
        options = dict(stored["options"])
        if "centroids" in options:
            options["centroids"] = {int(key): (x, y) for key, (x, y) in options["centroids"].items()}
        field: Field = _TYPES[stored["type"]](array, **options)
        return field


def pack(
    splits: dict[str, SceneDataset],
    out: Path,
    size: tuple[int, int] | None = None,
    progress: Progress = SILENT,
    record: Path | None = None,
) -> None:
    """Write a packed copy of the splits of a data set.

    The copy is built in a temporary folder beside `out` and appears whole or not at all.

    Args:
        splits: Each split by its name; at least one.
        out: Folder to write; it must be absent or empty.
        size: Height and width of the copies; None keeps each frame's own size and its exact values.
        progress: Shows how many frames are done.
        record: File of the source to copy too, if it exists.

    Raises:
        MultisigmaError: If `out` is not free, a frame is malformed or smaller than `size`, or the class of a field is
            not one of `multisigma.datasets.fields`.
    """
    labels = next(iter(splits.values())).labels
    with new_folder(out) as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        for split, dataset in splits.items():
            folder = temporary / split
            folder.mkdir()
            jobs = [pool.submit(_pack_frame, dataset, i, folder, size) for i in range(len(dataset))]
            try:
                frames = [job.result() for job in progress.track(jobs, f"packing {split}")]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            write_text(folder / "frames.json", json.dumps(frames))
        write_text(
            temporary / INDEX,
            json.dumps({"format": _FORMAT, "splits": sorted(splits), "labels": labels.to_json()}, indent=1),
        )
        if record is not None and record.is_file():
            shutil.copyfile(record, temporary / record.name)


def open_packed(root: Path, split: str) -> PackedDataset:
    """Open a split of a packed copy.

    Raises:
        DataError: There is no such split, or an index cannot be read.
    """
    index = _read_index(root)
    if split not in index["splits"]:
        rule, splits = f"the split '{split}' must exist", ", ".join(index["splits"])
        raise DataError(Problem(root, rule, f"the splits {splits}", "Choose one of these."))
    path = root / split / "frames.json"
    frames = _read_json(path)
    try:
        _check_frames(frames)
        labels = LabelSpace.from_json(index["labels"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, MultisigmaError) as error:
        rule, found = "the index must describe each frame as `pack` does", f"{type(error).__name__}: {error}"
        raise DataError(Problem(path, rule, found, "Pack the data again.")) from error
    return PackedDataset(root / split, labels, frames)


def _check_frames(frames: Any) -> None:
    """Raise an error unless frames are described as `_pack_frame` does."""
    if not isinstance(frames, list):
        raise TypeError("no list of frames")
    for entry in frames:
        if not isinstance(entry["name"], str):
            raise TypeError("a name is no text")
        if entry["camera"] is not None:
            numbers = astuple(Camera(**entry["camera"]))
            if not all(type(number) in (int, float) and abs(number) <= sys.float_info.max for number in numbers):
                raise TypeError("a camera is not of numbers")
        for stored in entry["fields"].values():
            if Path(stored["file"]).name != stored["file"]:
                raise ValueError(f"{stored['file']!r} is no file of the folder")
            _TYPES[stored["type"]](np.zeros((1, 1)), **stored["options"])
            for key, (x, y) in stored["options"].get("centroids", {}).items():
                int(key), float(x), float(y)
            if type(stored["options"].get("void", 0)) is not int:
                raise TypeError("`void` is no whole number")


def find_packed_splits(root: Path) -> list[str]:
    """Return the names of the splits of a packed copy, sorted. Raises `DataError`."""
    return list(_read_index(root)["splits"])


def _pack_frame(dataset: SceneDataset, i: int, folder: Path, size: tuple[int, int] | None) -> dict[str, Any]:
    frame = dataset.read(i)
    if size is not None:
        if size[0] > frame.size[0] or size[1] > frame.size[1]:
            raise MultisigmaError(
                f"Frame {frame.name!r} must not be smaller than the copy of {size[0]}x{size[1]} (height x width). "
                f"Found {frame.size[0]}x{frame.size[1]}. Ask for a size that no frame falls below."
            )
        frame = apply_transform(frame, Transform(False, *size, 0, 0, *size))
    entries = {}
    for name, field in frame.fields.items():
        kind = type(field).__name__
        if _TYPES.get(kind) is not type(field):
            raise MultisigmaError(
                f"Frame {frame.name!r}: a field to pack must be of one of the types {', '.join(_TYPES)}. "
                f"Found '{name}' of type {kind}."
            )
        first, *rest = dataclasses.fields(field)  # type: ignore[arg-type]  # the array, then what goes with it
        file = f"{i:06d}_{name}.npy"
        np.save(folder / file, getattr(field, first.name), allow_pickle=False)
        options = {option.name: getattr(field, option.name) for option in rest}
        entries[name] = {"type": kind, "file": file, "options": options}
    camera = None if frame.camera is None else asdict(frame.camera)
    return {"name": frame.name, "camera": camera, "fields": entries}


def _read_index(root: Path) -> dict[str, Any]:
    index = _read_json(root / INDEX)
    found = str(index.get("format")) if isinstance(index, dict) else type(index).__name__
    splits = index.get("splits") if isinstance(index, dict) else None
    are_names = isinstance(splits, list) and all(isinstance(split, str) for split in splits)
    if found != str(_FORMAT) or not are_names or "labels" not in index:
        rule = f"a packed copy must have the format {_FORMAT}, with splits and labels"
        raise DataError(Problem(root / INDEX, rule, found, "Pack the data again with this version."))
    return index


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(Problem(path, "the index must be readable", reason, "Pack the data again.")) from error
