"""The layout of a Cityscapes root, and reading its frames.

    ROOT/leftImg8bit/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png          8-bit RGB
    ROOT/gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png           8-bit label ids
    ROOT/gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png        16-bit instance ids
    ROOT/disparity/SPLIT/CITY/CITY_SEQUENCE_FRAME_disparity.png              16-bit, 0 invalid, else (p - 1) / 256 px
    ROOT/camera/SPLIT/CITY/CITY_SEQUENCE_FRAME_camera.json                   baseline and intrinsics

CITY is the name of the folder, with underscores or without. Only the left images are needed. Beside them may stand
`rightImg8bit/` and `disparity_exact/` (the true disparity of generated scenes, named and stored as `disparity/`), which
reading leaves alone.

Source: the README of the Cityscapes scripts (Cordts et al., 2016).
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera, Frame, instance_centroids
from multisigma.datasets.images import decode_disparity, read_png
from multisigma.datasets.labels import KNOWN_IDS
from multisigma.datasets.problems import DataError, Problem
from multisigma.datasets.scene import Truth

__all__ = [
    "KINDS",
    "FrameFiles",
    "Kind",
    "count_labels",
    "find_splits",
    "inspect_frame",
    "inspect_truth",
    "is_folder",
    "list_files",
    "list_folders",
    "list_frames",
    "read_camera",
    "read_disparity",
    "read_frame",
    "read_image",
    "read_instances",
    "read_labels",
    "require_size",
    "scan_split",
    "unlabelled",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file in a root.

    Args:
        field: Name of the field of `FrameFiles`.
        folder: Folder in the root.
        ending: End of the file name, after the frame's name.
    """

    field: str
    folder: str
    ending: str

    def path(self, root: Path, split: str, name: str) -> Path:
        """Where the file of frame `name` stands, whether or not it exists."""
        return root / self.folder / split / name.rsplit("_", 2)[0] / (name + self.ending)

    @property
    def package(self) -> str:
        """The official package that holds these files."""
        return f"{self.folder}_trainvaltest.zip"


IMAGE: Final = Kind("image", "leftImg8bit", "_leftImg8bit.png")
PARTNERS: Final = (
    Kind("labels", "gtFine", "_gtFine_labelIds.png"),
    Kind("instances", "gtFine", "_gtFine_instanceIds.png"),
    Kind("disparity", "disparity", "_disparity.png"),
    Kind("camera", "camera", "_camera.json"),
)
EXTRAS: Final = (
    Kind("right", "rightImg8bit", "_rightImg8bit.png"),
    Kind("disparity_exact", "disparity_exact", "_disparity.png"),
)
KINDS: Final[dict[str, Kind]] = {kind.field: kind for kind in (IMAGE, *PARTNERS, *EXTRAS)}
"""Every kind of file by its field of `FrameFiles`, from image to disparity_exact."""

_T = TypeVar("_T")
_IMAGE_NAME = re.compile(r"(?P<name>(?P<city>.+)_\d{6}_\d{6})" + re.escape(IMAGE.ending))
# What else lies in a folder, such as a Thumbs.db, is no image under a wrong name.
_IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """Where the files of one frame are; a kind that the frame does not have is None.

    Args:
        name: Name such as 'aachen_000000_000019'.
        city: City, the name's part before both numbers and the folder of the files.
        split: Split such as 'train'.
        image: Left image.
        labels: Label ids.
        instances: Instance ids.
        disparity: Disparity, in pixels of the left image.
        camera: Camera parameters.
        right: Right image.
        disparity_exact: Exact disparity, of generated scenes.
    """

    name: str
    city: str
    split: str
    image: Path
    labels: Path | None
    instances: Path | None
    disparity: Path | None
    camera: Path | None
    right: Path | None = None
    disparity_exact: Path | None = None


def find_splits(root: Path) -> list[str]:
    """Names of the splits of a root, sorted; a folder without any image is none.

    Args:
        root: Folder that holds `leftImg8bit/`.

    Raises:
        DataError: If the root or its `leftImg8bit/` does not exist, cannot be read or holds no split.
    """
    images = root / IMAGE.folder
    if not is_folder(root):
        raise DataError(
            Problem(
                root,
                "the data root must be a folder",
                "a file" if root.exists() else "nothing there",
                "Check the path.",
            )
        )
    if not is_folder(images):
        there = _enumerate(list_folders(root)) or "no folders"
        raise DataError(
            Problem(
                root,
                f"a Cityscapes root must hold the folder {IMAGE.folder}/",
                there,
                f"Give the folder that holds {IMAGE.folder}/ itself; where each package was unpacked into a folder of "
                "its own, move what they hold into one.",
            )
        )
    splits = [split for split in list_folders(images) if _holds_images(images / split)]
    if not splits:
        raise DataError(
            Problem(
                images,
                "there must be one folder per split with images in it, such as train/ and val/",
                "none",
                f"Put the images into {IMAGE.folder}/SPLIT/CITY/.",
            )
        )
    return splits


def scan_split(root: Path, split: str, kinds: tuple[Kind, ...] = PARTNERS) -> tuple[list[FrameFiles], list[Problem]]:
    """List the frames of a split, and every fault of its layout.

    A kind of which a city has no file at all is absent there, which is no fault.

    Args:
        root: Folder that holds `leftImg8bit/`.
        split: Name of the split, such as 'train'.
        kinds: Kinds of file to look for beside the image.

    Returns:
        The frames, sorted by name, a missing file as None; and the faults found.

    Raises:
        DataError: If the root has no such split, or a folder cannot be read.
    """
    splits = find_splits(root)
    folder = root / IMAGE.folder / split
    if not is_folder(folder):
        raise DataError(
            Problem(
                folder,
                f"the split '{split}' must exist",
                f"the splits {_enumerate(splits)}",
                "Choose one of these, or add the images.",
            )
        )
    frames: list[FrameFiles] = []
    problems = [_misnamed(folder / file) for file in list_files(folder) if _is_image(file)]
    for city in list_folders(folder):
        files = {
            kind.folder: set(list_files(root / kind.folder / split / city))
            for kind in kinds
            if is_folder(root / kind.folder / split / city)
        }
        present = [kind for kind in kinds if any(f.endswith(kind.ending) for f in files.get(kind.folder, ()))]
        for file in filter(_is_image, list_files(folder / city)):
            match = _IMAGE_NAME.fullmatch(file)
            if match is None or match["city"] != city:
                problems.append(_misnamed(folder / city / file))
                continue
            name = match["name"]
            found: dict[str, Path | None] = {kind.field: None for kind in PARTNERS}
            for kind in present:
                path = kind.path(root, split, name)
                if path.name in files[kind.folder]:
                    found[kind.field] = path
                else:
                    problems.append(
                        Problem(
                            path,
                            f"every image must have its partner where {kind.folder}/{split}/{city}/ has any such file",
                            f"no such file for {folder / city / file}",
                            f"Restore it. To go on without, train with --missing-labels unlabelled; or remove every "
                            f"*{kind.ending} of the city.",
                        )
                    )
            frames.append(FrameFiles(name, city, split, folder / city / file, **found))
    if not frames:
        problems.append(
            Problem(
                folder,
                "a split must hold images",
                "none",
                f"Put images into {IMAGE.folder}/{split}/CITY/, or remove the folder.",
            )
        )
    return sorted(frames, key=lambda frame: frame.name), problems


def list_frames(root: Path, split: str, missing_labels: Literal["error", "unlabelled"] = "error") -> list[FrameFiles]:
    """List the frames of a split.

    Labels of a kind (label ids, instance ids, disparity, camera) that are absent as a whole from the root, a split or a
    city leave those frames unlabelled for that kind. A single missing file is an error.

    Args:
        root: Folder that holds `leftImg8bit/`.
        split: Name of the split, such as 'train'.
        missing_labels: 'unlabelled' lets frames with a single missing file pass as unlabelled for that kind.

    Returns:
        The frames, sorted by name; at least one.

    Raises:
        DataError: If the root, the split or a partner file is missing, the split is empty, or a name is malformed.
    """
    frames, problems = scan_split(root, split)
    if missing_labels == "unlabelled":
        problems = [problem for problem in problems if problem.path.is_relative_to(root / IMAGE.folder)]
    if problems:
        raise DataError(*problems)
    return frames


def count_labels(frames: Sequence[FrameFiles]) -> dict[str, int]:
    """How many of the frames have each kind of label, from 'labels' to 'camera'."""
    return {kind.field: sum(getattr(files, kind.field) is not None for files in frames) for kind in PARTNERS}


def unlabelled(root: Path, folder: Path, frames: Sequence[FrameFiles]) -> Problem | None:
    """The problem that no frame of a folder has anything to learn or to be measured by; None if one has."""
    counts = count_labels(frames)
    if counts["labels"] or counts["instances"] or counts["disparity"]:
        return None
    found = f"{len(frames)} images without label ids, instance ids or disparity"
    remedy = (
        f"Unzip {KINDS['labels'].package} or {KINDS['disparity'].package} into {root}; "
        "`evaluate RUN --save-predictions DIR` needs none."
    )
    return Problem(folder, "training and evaluation need labels", found, remedy)


def read_frame(files: FrameFiles) -> Frame:
    """Read one frame and hold it against every rule of the format.

    Args:
        files: The frame's files, from `list_frames`.

    Returns:
        The frame, with whatever labels it has.

    Raises:
        DataError: If a file is unreadable, truncated, of a wrong type or size; if a label id is unknown; if label ids
            and instance ids disagree; if the camera is malformed. The error names all faults of the frame.
    """
    frame, problems = inspect_frame(files)
    if frame is None:
        raise DataError(*problems)
    return frame


def inspect_frame(files: FrameFiles) -> tuple[Frame | None, list[Problem]]:
    """Read one frame and collect its faults; see `read_frame` for the rules.

    Args:
        files: The frame's files.

    Returns:
        The frame and no problem, or None and at least one problem.
    """
    try:
        image = read_image(files.image)
    except DataError as error:
        return None, [*error.problems, *inspect_truth(files)[1]]
    truth, problems = inspect_truth(files, (files.image, image))
    if truth is None:
        return None, problems
    centroids = None if truth.instances is None else instance_centroids(truth.instances)
    return Frame(files.name, image, truth.labels, truth.instances, centroids, truth.disparity, truth.camera), []


def inspect_truth(
    files: FrameFiles, first: tuple[Path, NDArray[Any]] | None = None
) -> tuple[Truth | None, list[Problem]]:
    """Read a frame's labels without its image and collect their faults; see `read_frame` for the rules.

    Args:
        files: The frame's files.
        first: A file of the frame that has been read, and its pixels: the others must have the same size.

    Returns:
        The labels and no problem, or None and at least one problem.
    """
    problems: list[Problem] = []

    def attempt(read: Callable[[Path], _T], path: Path | None) -> _T | None:
        nonlocal first
        if path is None:
            return None
        try:
            value = read(path)
            if isinstance(value, np.ndarray):
                first = first or (path, value)
                require_size(path, value, *first)
        except DataError as error:
            problems.extend(error.problems)
            return None
        return value

    labels = attempt(read_labels, files.labels)
    instances = attempt(read_instances, files.instances)
    disparity = attempt(read_disparity, files.disparity)
    camera = attempt(read_camera, files.camera)

    if (
        files.instances
        and labels is not None
        and instances is not None
        and not _agree(labels, instances, _CLASS_OF_INSTANCE)
    ):
        disagree = labels != _class_of(instances)
        row, column = (int(i) for i in np.argwhere(disagree)[0])
        problems.append(
            Problem(
                files.instances,
                "an instance id must be the label id, or the label id * 1000 + a number",
                f"{np.count_nonzero(disagree)} pixels that are not, such as instance id {instances[row, column]} "
                f"on label id {labels[row, column]} at column {column}, row {row}",
                "Make both files from the same polygons.",
            )
        )
    return (None, problems) if problems else (Truth(files.name, labels, instances, disparity, camera), [])


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an RGB image, shape (H, W, 3). Raises `DataError`."""
    return read_png(path, "8-bit RGB")


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read label ids, shape (H, W), all of them known. Raises `DataError`."""
    labels: NDArray[np.uint8] = read_png(path, "8-bit grey")
    if not _are_known(labels, _IS_KNOWN):
        raise DataError(_unknown_ids(path, labels, "label ids must be those of the Cityscapes table, 0 to 33"))
    return labels


def read_instances(path: Path) -> NDArray[np.int32]:
    """Read instance ids, shape (H, W), all of known classes. Raises `DataError`."""
    instances: NDArray[np.int32] = read_png(path, "16-bit grey").astype(np.int32)
    if not _are_known(instances, _IS_KNOWN[_CLASS_OF_INSTANCE]):
        raise DataError(
            _unknown_ids(path, instances, "instance ids must be a label id of 0 to 33, or a label id * 1000 + a number")
        )
    return instances


def read_disparity(path: Path) -> NDArray[np.float32]:
    """Read disparity in pixels, shape (H, W), NaN where invalid. Raises `DataError`."""
    return decode_disparity(read_png(path, "16-bit grey"))


def read_camera(path: Path) -> Camera:
    """Read a camera's baseline and intrinsics.

    Raises:
        DataError: If the file is not JSON, lacks a number, or the baseline or a focal length is not positive.
    """
    remedy = "Restore the file, or remove the camera/ folder to go on without cameras."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(Problem(path, "the file must be readable", error.strerror or str(error), remedy)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(path, "the camera must be JSON", str(error), remedy)) from error
    problems: list[Problem] = []

    def number(section: str, key: str, positive: bool) -> float:
        values = content.get(section) if isinstance(content, dict) else None
        value: Any = values.get(key) if isinstance(values, dict) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and abs(value) <= sys.float_info.max and (value > 0 or not positive):
            return float(value)
        rule = f"the camera must hold {section}.{key}, a {'positive ' if positive else ''}number"
        problems.append(Problem(path, rule, "none" if value is None else reprlib.repr(value), remedy))
        return math.nan

    camera = Camera(
        baseline=number("extrinsic", "baseline", positive=True),
        fx=number("intrinsic", "fx", positive=True),
        fy=number("intrinsic", "fy", positive=True),
        u0=number("intrinsic", "u0", positive=False),
        v0=number("intrinsic", "v0", positive=False),
    )
    if problems:
        raise DataError(*problems)
    return camera


def require_size(path: Path, array: NDArray[Any], other_path: Path, other: NDArray[Any]) -> None:
    """Raise `DataError` unless a file's array has the size of another file of its frame, such as the left image."""
    if array.shape[:2] != other.shape[:2]:
        raise DataError(
            Problem(
                path,
                "all files of a frame must have the same size (height x width)",
                f"{array.shape[0]}x{array.shape[1]} beside {other.shape[0]}x{other.shape[1]} of {other_path}",
                "Take all files of the frame from the same root.",
            )
        )


_IS_KNOWN: Final = np.isin(np.arange(256), list(KNOWN_IDS))


@njit(cache=True)
def _are_known(ids: NDArray[np.integer], is_known: NDArray[np.bool_]) -> bool:
    for row in ids:
        for i in row:
            if not is_known[i]:
                return False
    return True


@njit(cache=True)
def _agree(labels: NDArray[np.uint8], instances: NDArray[np.int32], class_of: NDArray[np.uint8]) -> bool:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] != class_of[instances[y, x]]:
                return False
    return True


def _class_of(instances: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Label id of every instance id of a 16-bit file; 255 where there is none."""
    return _CLASS_OF_INSTANCE[instances]


_INSTANCE_IDS = np.arange(65536)
_CLASS_OF_INSTANCE: Final = (
    np.where(_INSTANCE_IDS < 1000, _INSTANCE_IDS, _INSTANCE_IDS // 1000).clip(0, 255).astype(np.uint8)
)


def _unknown_ids(path: Path, ids: NDArray[Any], rule: str) -> Problem:
    values, counts = np.unique(ids, return_counts=True)
    unknown = [(value, count) for value, count in zip(values, counts, strict=True) if not _IS_KNOWN[_class_of(value)]]
    shown = ", ".join(f"{value} ({count} pixels)" for value, count in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    remedy = "Use the raw ids (labelIds, instanceIds), not training ids or colours."
    if any(value in (255, 65535) for value, _ in unknown):
        remedy += " 255 is what training ids ignore; 255 and 65535 are also -1 stored without a sign: store 0 instead."
    return Problem(path, rule, shown + more, remedy)


def _misnamed(path: Path) -> Problem:
    return Problem(
        path,
        f"images must be named {IMAGE.folder}/SPLIT/CITY/CITY_SEQUENCE_FRAME{IMAGE.ending}, both numbers of six "
        "digits and CITY the name of the folder",
        "another name",
        "Rename or remove the file.",
    )


def _is_image(file: str) -> bool:
    return Path(file).suffix.lower() in _IMAGE_SUFFIXES


def _holds_images(split: Path) -> bool:
    """Whether there is any image in a split's folder or in those of its cities."""
    return any(any(map(_is_image, list_files(split / city))) for city in ("", *list_folders(split)))


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Give yourself the permission to read it, or check the disk."
        raise DataError(Problem(folder, "the folder must be readable", error.strerror or str(error), remedy)) from error


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. Raises `DataError` if that may not be known."""
    with _readable(path):
        return path.is_dir()


def list_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones. Raises `DataError`."""
    with _readable(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def list_files(folder: Path) -> list[str]:
    """Names of the files in a folder, sorted, without hidden ones. Raises `DataError`."""
    with _readable(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))


def _enumerate(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
