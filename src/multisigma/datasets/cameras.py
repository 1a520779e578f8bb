"""Camera files: Cityscapes' JSON, KITTI's calibration text, and a plain table of numbers."""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from multisigma.datasets.cityscapes.reading import read_camera
from multisigma.datasets.frame import Camera
from multisigma.datasets.problems import DataError, Problem
from multisigma.files import read_text, read_yaml

__all__ = ["DEFAULT_BASELINE", "camera_from_numbers", "read_camera_file"]

DEFAULT_BASELINE: Final = 0.2
"""Metres, about that of Cityscapes; for depth without a second camera it only sets the unit of inverse depth."""


def read_camera_file(path: Path, size: tuple[int, int]) -> Camera:
    """Read a camera from a file of any of the three formats.

    - Cityscapes' JSON, with `extrinsic` and `intrinsic`.
    - KITTI's `calib_cam_to_cam` text: the left colour camera, `P_rect_02`, and its distance from the right one.
    - JSON or YAML with the numbers of `camera_from_numbers`.

    Args:
        path: The file.
        size: Height and width of the frame, for what the file leaves out.

    Raises:
        DataError: The file cannot be read or lacks a number.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Problem(path, "the camera file must be readable text", str(error), "Restore it.")) from error
    if "P_rect_02:" in text:
        return _kitti_camera(path, text)
    try:
        content = read_yaml(path)
    except yaml.YAMLError as error:
        found = " ".join(str(error).split())
        raise DataError(Problem(path, "the camera must be JSON, YAML or KITTI's text", found, "Restore it.")) from error
    if isinstance(content, dict) and "intrinsic" in content:
        return read_camera(path)
    if not isinstance(content, dict):
        rule = "the camera must be a table of numbers, such as `fx: 500`"
        raise DataError(Problem(path, rule, repr(content)[:60], "Write fx at least."))
    return camera_from_numbers(content, size, path, "")


def camera_from_numbers(content: Mapping[str, Any], size: tuple[int, int], path: Path, prefix: str) -> Camera:
    """Make a camera of `fx` and whichever of `fy`, `u0`, `v0` and `baseline` there are.

    Args:
        content: Numbers by name, in pixels, and the baseline in metres. Left out, `fy` is `fx`, the principal point is
            the middle of the frame, and the baseline `DEFAULT_BASELINE`.
        size: Height and width of the frame.
        path: File to name in errors.
        prefix: What stands before a key in errors, such as 'camera.'.

    Raises:
        DataError: A key is unknown, no number, or not positive where it must be.
    """
    height, width = size
    fx = content.get("fx")
    defaults = {"fy": fx, "u0": (width - 1) / 2, "v0": (height - 1) / 2, "baseline": DEFAULT_BASELINE}
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
        good = good and abs(value) <= sys.float_info.max
        if not good or (positive and value <= 0):
            rule = f"`{prefix}{key}` must be a {'positive ' if positive else ''}number"
            problems.append(Problem(path, rule, "none" if value is None else reprlib.repr(value), remedy))
        else:
            numbers[key] = float(value)
    if problems:
        raise DataError(*problems)
    return Camera(**numbers)


def _kitti_camera(path: Path, text: str) -> Camera:
    def projection(key: str) -> list[float]:
        for line in text.splitlines():
            name, _, values = line.partition(":")
            if name == key:
                try:
                    numbers = [float(value) for value in values.split()]
                except ValueError:
                    numbers = []
                if len(numbers) == 12 and all(map(math.isfinite, numbers)) and numbers[0] > 0:
                    return numbers
        rule = f"a KITTI calibration must have the line {key} with 12 numbers, the first one positive"
        raise DataError(Problem(path, rule, "none", "Restore the file from data_scene_flow_calib.zip."))

    left, right = projection("P_rect_02"), projection("P_rect_03")
    # A point's columns in the two images differ by fx * baseline / depth.
    baseline = (left[3] - right[3]) / left[0]
    if baseline <= 0:
        rule = "P_rect_03 must lie to the right of P_rect_02"
        raise DataError(Problem(path, rule, f"a baseline of {baseline:g} m", "Restore the file."))
    return Camera(baseline, left[0], left[5], left[2], left[6])
