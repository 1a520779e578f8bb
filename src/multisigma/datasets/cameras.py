"""Camera files: Cityscapes, KITTI, OpenCV, ROS, and plain tables of numbers."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from multisigma.datasets.cityscapes.reading import read_camera
from multisigma.datasets.frame import Camera
from multisigma.datasets.problems import DataError, Problem
from multisigma.files import PlainLoader, read_text

__all__ = ["DEFAULT_BASELINE", "camera_from_numbers", "read_camera_file"]

DEFAULT_BASELINE: Final = 0.2
"""Metres, about that of Cityscapes; for depth without a second camera it only sets the unit of inverse depth."""

_log = logging.getLogger(__name__)

# Names of the 3x3 matrix of intrinsics, of the 3x4 projection of the rectified image, of the distortion, and of the
# image's width and height, in lower case: OpenCV's samples, ROS, and what people write.
_INTRINSICS: Final = ("k", "camera_matrix", "cameramatrix", "intrinsic_matrix", "m1", "mtx")
_PROJECTION: Final = ("p", "projection_matrix", "p1")
_DISTORTION: Final = ("d", "distortion_coefficients", "dist_coeffs", "distcoeffs", "d1", "dist")
_WIDTH: Final = ("width", "image_width")
_HEIGHT: Final = ("height", "image_height")
_BASELINE: Final = "baseline"
_MOST_PIXELS: Final = 1_000_000
# A camera that is resized to any image stays finite below it.
_LARGEST: Final = 1e12


class _Loader(PlainLoader):
    """YAML with the matrices of OpenCV's `FileStorage`."""


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, True))


def read_camera_file(path: Path, size: tuple[int, int], baseline: float = DEFAULT_BASELINE) -> Camera:
    """Read a camera from a file of any of these formats.

    - Cityscapes' JSON, with `extrinsic` and `intrinsic`.
    - KITTI's calibration text, `P_rect_02` and `P_rect_03` or `P2` and `P3`: the left colour camera, and its distance
      from the right one.
    - OpenCV's YAML or JSON, ROS's `camera_info` YAML, or any JSON or YAML with a matrix of intrinsics: `K`,
      `camera_matrix` or the like, 3x3. The projection `P` of a rectified image comes before it.
    - JSON or YAML with the numbers of `camera_from_numbers`.

    A file that states the size of its images is brought to the size of the frame. There is a warning if a file has a
    distorted lens and no projection of a rectified image: distortion is not modelled.

    Args:
        path: The file.
        size: Height and width of the frame.
        baseline: Baseline in metres where the file has none.

    Raises:
        DataError: The file cannot be read, lacks a number, or is of images of another shape.
    """
    text = require_camera_file(path)
    for left, right in (("P_rect_02", "P_rect_03"), ("P2", "P3")):
        if text.startswith(f"{left}:") or f"\n{left}:" in text:
            return _kitti_camera(path, text, left, right, size)
    try:
        # OpenCV writes a directive that YAML does not know: `%YAML:1.0`.
        content = yaml.load(text.removeprefix("%YAML:1.0"), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        found = " ".join(str(error).split())
        raise DataError(Problem(path, "the camera must be JSON, YAML or KITTI's text", found, "Restore it.")) from error
    if isinstance(content, dict) and "intrinsic" in content:
        return read_camera(path)
    if not isinstance(content, dict):
        rule = "the camera must be a table of numbers, such as `fx: 500`"
        raise DataError(Problem(path, rule, repr(content)[:60], "Write fx at least."))
    named = {str(name).lower(): value for name, value in content.items()}
    if any(name in named for name in (*_INTRINSICS, *_PROJECTION)):
        return _matrix_camera(path, named, size, baseline)
    return camera_from_numbers(content, size, path, "", baseline)


def require_camera_file(path: Path) -> str:
    """Return the text of a camera file; raise `DataError` if it cannot be read."""
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Problem(path, "the camera file must be readable text", str(error), "Restore it.")) from error


def camera_from_numbers(
    content: Mapping[str, Any], size: tuple[int, int], path: Path, prefix: str, baseline: float = DEFAULT_BASELINE
) -> Camera:
    """Make a camera of `fx` and whichever of `fy`, `u0`, `v0` and `baseline` there are.

    Args:
        content: Numbers by name, in pixels, and the baseline in metres. Left out, `fy` is `fx`, the principal point is
            the middle of the frame.
        size: Height and width of the frame.
        path: File to name in errors.
        prefix: What stands before a key in errors, such as 'camera.'.
        baseline: The baseline if it is left out, metres.

    Raises:
        DataError: A key is unknown, no number, or not positive where it must be.
    """
    height, width = size
    fx = content.get("fx")
    defaults = {"fy": fx, "u0": (width - 1) / 2, "v0": (height - 1) / 2, "baseline": baseline}
    remedy = "Give fx in pixels; fy, u0, v0 and baseline (metres) are optional."
    problems = [
        Problem(path, "a camera must have the keys fx, fy, u0, v0, baseline alone", f"{prefix}{key}", remedy)
        for key in content
        if key not in ("fx", *defaults)
    ]
    numbers = {}
    for key in ("fx", *defaults):
        value = content.get(key, defaults.get(key))
        positive = key in ("fx", "fy", "baseline")
        good = isinstance(value, int | float) and not isinstance(value, bool)
        good = good and abs(value) <= _LARGEST
        if not good or (positive and value <= 0):
            rule = f"`{prefix}{key}` must be a {'positive ' if positive else ''}number, at most 1e12"
            problems.append(Problem(path, rule, "none" if value is None else reprlib.repr(value), remedy))
        else:
            numbers[key] = float(value)
    if problems:
        raise DataError(*problems)
    return Camera(**numbers)


def _kitti_camera(path: Path, text: str, left_key: str, right_key: str, size: tuple[int, int]) -> Camera:
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def projection(key: str) -> list[float]:
        numbers = _numbers(lines.get(key, "").split())
        if numbers is not None and len(numbers) == 12 and numbers[0] > 0:
            return numbers
        rule = f"a KITTI calibration must have the line {key} with 12 numbers, the first one positive"
        raise DataError(Problem(path, rule, "none", "Restore the file from KITTI's archive."))

    left, right = projection(left_key), projection(right_key)
    # A point's columns in the two images differ by fx * baseline / depth.
    baseline = (left[3] - right[3]) / left[0]
    if baseline <= 0:
        rule = f"{right_key} must lie to the right of {left_key}"
        raise DataError(Problem(path, rule, f"a baseline of {baseline:g} m", "Restore the file."))
    numbers = {"fx": left[0], "fy": left[5], "u0": left[2], "v0": left[6], "baseline": baseline}
    return camera_from_numbers(numbers, size, path, "")


def _matrix_camera(path: Path, named: Mapping[str, Any], size: tuple[int, int], baseline: float) -> Camera:
    """Make a camera of a 3x3 matrix of intrinsics or a 3x4 projection.

    Args:
        path: File to name in errors.
        named: The file's content by name, in lower case.
        size: Height and width of the frame.
        baseline: Baseline in metres where the file has none.
    """

    def find(names: tuple[str, ...], length: int) -> NDArray[np.float64] | None:
        key = next((name for name in names if name in named), None)
        if key is None:
            return None
        numbers = _numbers(_flat(named[key]))
        if numbers is None or (length and len(numbers) != length):
            rule = f"`{key}` must be {f'a matrix of {length} numbers' if length else 'numbers'}"
            raise DataError(Problem(path, rule, repr(named[key])[:60], "Restore the file."))
        return np.array(numbers)

    projection, distortion = find(_PROJECTION, 12), find(_DISTORTION, 0)
    if projection is not None and projection[0] > 0:
        matrix = projection.reshape(3, 4)[:, :3]
    else:
        # A camera that is not calibrated has a projection of zeros in ROS.
        intrinsics = find(_INTRINSICS, 9)
        if intrinsics is None:
            raise DataError(Problem(path, "the camera must have a matrix `K` of 3x3 numbers", "none", "Add it."))
        matrix = intrinsics.reshape(3, 3)
        if distortion is not None and distortion.any():
            _log.warning(
                "%s: the lens is distorted (%s), which is not corrected. Undistort the images, with cv2.undistort or "
                "ROS's image_proc, for an exact point cloud.",
                path,
                ", ".join(f"{value:g}" for value in distortion),
            )
    numbers = {"fx": matrix[0, 0], "fy": matrix[1, 1], "u0": matrix[0, 2], "v0": matrix[1, 2]}
    stated = {name: value.item() for name, value in numbers.items()}
    if _BASELINE in named:
        stated[_BASELINE] = named[_BASELINE]
    camera = camera_from_numbers(stated, size, path, "", baseline)
    width, height = (next((named[name] for name in names if name in named), None) for names in (_WIDTH, _HEIGHT))
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return camera
    if max(width, height) > _MOST_PIXELS:
        rule = f"the images of a camera must have at most {_MOST_PIXELS:,} columns and rows"
        raise DataError(Problem(path, rule, reprlib.repr(max(width, height)), "Restore the file."))
    x, y = size[1] / width, size[0] / height
    # A resized image is rounded to whole pixels.
    if abs(height * x - size[0]) > 1 and abs(width * y - size[1]) > 1:
        rule = f"the camera must be that of images with the shape of {size[1]} columns and {size[0]} rows"
        remedy = "Take the camera of these images, or give the crop's own camera without its size."
        raise DataError(Problem(path, rule, f"{width} columns and {height} rows", remedy))
    return camera.resized(x, y)


def _flat(value: Any) -> list[Any]:
    """Return the entries of a matrix as rows, as one list, or with OpenCV's and ROS's `rows`, `cols` and `data`."""
    if isinstance(value, Mapping):
        value = value.get("data")
    if not isinstance(value, list):
        return [None]
    return [entry for row in value for entry in (row if isinstance(row, list) else [row])]


def _numbers(entries: list[Any]) -> list[float] | None:
    """Return the entries as finite numbers; None if one is not."""
    try:
        numbers = [float(entry) for entry in entries]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
