"""Reading the files of a Cityscapes root, each held against every rule of the format."""

from __future__ import annotations

import json
import math
import reprlib
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.cityscapes.layout import FrameFiles
from multisigma.datasets.fields import ClassMap, Disparity, Field, Image, InstanceMap, instance_centroids
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.images import decode_disparity, read_png
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.problems import DataError, Problem
from multisigma.files import read_text

__all__ = [
    "inspect_frame",
    "read_camera",
    "read_disparity",
    "read_frame",
    "read_image",
    "read_instances",
    "read_labels",
    "require_size",
]

_T = TypeVar("_T")


def read_frame(files: FrameFiles, only: Collection[str] | None = None) -> Frame:
    """Read one frame and hold it against every rule of the format.

    Args:
        files: The frame's files, from `list_frames`.
        only: Names of the fields to read, such as 'image' and 'semantic'; all if None. The camera is always read.

    Returns:
        The frame, with whatever labels it has.

    Raises:
        DataError: If a file is unreadable, truncated, of a wrong type or size; if a label id is unknown; if label ids
            and instance ids disagree; if the camera is malformed. The error names all faults of the frame.
    """
    frame, problems = inspect_frame(files, only)
    if frame is None:
        raise DataError(*problems)
    return frame


def inspect_frame(files: FrameFiles, only: Collection[str] | None = None) -> tuple[Frame | None, list[Problem]]:
    """Read one frame and collect its faults; see `read_frame` for the rules.

    Args:
        files: The frame's files.
        only: Names of the fields to read; all if None.

    Returns:
        The frame and no problem, or None and at least one problem.
    """
    problems: list[Problem] = []
    first: tuple[Path, NDArray[Any]] | None = None

    def attempt(read: Callable[[Path], _T], path: Path | None, field: str) -> _T | None:
        nonlocal first
        if path is None or not (only is None or field in only or field == "camera"):
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

    image = attempt(read_image, files.image, "image")
    labels = attempt(read_labels, files.semantic, "semantic")
    instances = attempt(read_instances, files.instance, "instance")
    disparity = attempt(read_disparity, files.disparity, "disparity")
    camera = attempt(read_camera, files.camera, "camera")

    if (
        files.instance
        and labels is not None
        and instances is not None
        and not _agree(labels, instances, _CLASS_OF_INSTANCE)
    ):
        disagree = labels != _class_of(instances)
        row, column = (int(i) for i in np.argwhere(disagree)[0])
        problems.append(
            Problem(
                files.instance,
                "an instance id must be the label id, or the label id * 1000 + a number",
                f"{np.count_nonzero(disagree)} pixels that are not, such as instance id {instances[row, column]} "
                f"on label id {labels[row, column]} at column {column}, row {row}",
                "Make both files from the same polygons.",
            )
        )
    if problems:
        return None, problems
    fields: dict[str, Field] = {}
    if image is not None:
        fields["image"] = Image(image)
    if labels is not None:
        fields["semantic"] = ClassMap(labels)
    if instances is not None:
        fields["instance"] = InstanceMap(instances, instance_centroids(instances, CITYSCAPES.instance_ids))
    if disparity is not None:
        fields["disparity"] = Disparity(disparity)
    return Frame(files.name, fields, camera), []


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an RGB image, shape (H, W, 3). Raises `DataError`."""
    return read_png(path, "8-bit RGB")


def read_labels(path: Path, space: LabelSpace = CITYSCAPES) -> NDArray[np.uint8]:
    """Read ids of a label space, shape (H, W), all of them known or void. Raises `DataError`."""
    labels: NDArray[np.uint8] = read_png(path, "8-bit grey")
    is_known = _IS_KNOWN if space is CITYSCAPES else np.isin(np.arange(256), [*space.by_id, space.void])
    if not _are_known(labels, is_known):
        rule = f"label ids must be those of the label space '{space.name}', such as {space.ids_of_train_ids[0]}"
        raise DataError(_unknown_ids(path, labels, rule, is_known))
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
    remedy = "Restore the file, or go on without cameras."
    try:
        content = json.loads(read_text(path))
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


_IS_KNOWN: Final = np.isin(np.arange(256), list(CITYSCAPES.by_id))


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


def _unknown_ids(path: Path, ids: NDArray[Any], rule: str, is_known: NDArray[np.bool_] = _IS_KNOWN) -> Problem:
    values, counts = np.unique(ids, return_counts=True)
    unknown = [(value, count) for value, count in zip(values, counts, strict=True) if not is_known[_class_of(value)]]
    shown = ", ".join(f"{value} ({count} pixels)" for value, count in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    remedy = "Use the raw ids (labelIds, instanceIds), not training ids or colours."
    if any(value in (255, 65535) for value, _ in unknown):
        remedy += " 255 is what training ids ignore; 255 and 65535 are also -1 stored without a sign: store 0 instead."
    return Problem(path, rule, shown + more, remedy)
