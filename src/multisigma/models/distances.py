"""Distances in metres for a camera whose scale the model cannot know: fitted to a few that were measured."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import least_squares

from multisigma.errors import MultisigmaError
from multisigma.files import read_versioned_json, write_text
from multisigma.models.scene_prediction import ScenePrediction

__all__ = ["DistanceCalibration", "calibrate"]

_FORMAT: Final = 1
# Scale of the loss in standard deviations of a residual, where it turns from a square to a logarithm.
_SOFT: Final = 2.0
# A median absolute deviation times this is the standard deviation of a normal distribution.
_MAD: Final = 1.4826


@dataclass(frozen=True, slots=True)
class DistanceCalibration:
    """The factor that brings a model's distances to those measured with one camera.

    Args:
        scale: True distance over predicted distance.
        standard_error: Standard error of the scale.
        median_error: Median relative error of the measured distances after the fit.
        points: Number of measured distances.
        outliers: How many of them are farther than three standard deviations from the fit, and hardly count.
    """

    scale: float
    standard_error: float
    median_error: float
    points: int
    outliers: int

    def write(self, path: Path) -> None:
        """Write a JSON file that `read` and `multisigma predict --calibration` take.

        Raises:
            MultisigmaError: It cannot be written.
        """
        write_text(path, json.dumps({"format_version": _FORMAT} | asdict(self), indent=1, allow_nan=False))

    @classmethod
    def read(cls, path: Path) -> DistanceCalibration:
        """Read the file that `write` makes.

        Raises:
            MultisigmaError: The file cannot be read, or lacks a number.
        """
        remedy = "Run `multisigma calibrate` again."
        content = read_versioned_json(path, _FORMAT, remedy, remedy)
        numbers: dict[str, Any] = {field.name: content.get(field.name) for field in fields(cls)}
        for name, value in numbers.items():
            good = isinstance(value, int | float) and not isinstance(value, bool)
            good = good and abs(value) <= sys.float_info.max
            if not good or value < 0 or (name == "scale" and value == 0):
                rule = "a positive number" if name == "scale" else "a number, 0 or more"
                raise MultisigmaError(f"{path}: `{name}` must be {rule}. Found {value!r}. {remedy}")
        return cls(**numbers)


def calibrate(measured: Sequence[tuple[ScenePrediction, float, float, float]]) -> DistanceCalibration:
    """Fit the scale of a model's distances to distances that were measured, by robust least squares of inverse depth.

    The errors of a predicted disparity are about as large near as far, so inverse depth is fitted, not depth. With
    inverse depths p predicted and q measured, the scale s of the distances minimises the sum of rho(q - p / s), where
    rho is Cauchy's loss: wrong points hardly count.

    Args:
        measured: A prediction with a camera, column and row of a pixel, and its depth in metres, for each point. Depth
            is measured along the camera's axis, from the plane of the camera. The camera must be the same in all.

    Returns:
        The calibration, for `model.predict(image, camera, calibration=...)`.

    Raises:
        MultisigmaError: There is no point; a prediction has no camera or no task depth, or is calibrated already; a
            point lies outside of its image, or where no finite depth is predicted; or a distance is not positive.

    Example:
        calibration = calibrate([(scene, 410, 300, 6.2), (scene, 120, 260, 14.5), (scene, 500, 240, 31.0)])
    """
    if not measured:
        raise MultisigmaError("A calibration must have a measured distance. Found none. Three or more are better.")
    pairs = np.array([_inverse_depths(*point) for point in measured])
    predicted, true = pairs.T
    first = float(np.median(true / predicted))
    deviations = np.abs(true - first * predicted)
    spread = max(_MAD * float(np.median(deviations)), 1e-6 * float(true.max()))
    fit = least_squares(lambda factor: true - factor * predicted, [first], loss="cauchy", f_scale=_SOFT * spread)
    factor = float(fit.x[0])
    if factor <= 0:
        raise MultisigmaError("The measured distances must agree about the scale. Found no positive one. Check them.")
    residuals = true - factor * predicted
    spread = max(_MAD * float(np.median(np.abs(residuals))), 1e-6 * float(true.max()))
    kept = np.abs(residuals) <= 3 * spread
    count = int(kept.sum())
    # The usual standard error of a slope through the origin; a single point says nothing about it.
    variance = float(np.square(residuals[kept]).sum()) / max(count - 1, 1) / float(np.square(predicted[kept]).sum())
    errors = np.abs(true / (factor * predicted) - 1)
    return DistanceCalibration(
        scale=1 / factor,
        standard_error=math.sqrt(variance) / factor**2,
        median_error=float(np.median(errors)),
        points=len(true),
        outliers=len(true) - count,
    )


def _inverse_depths(scene: ScenePrediction, column: float, row: float, metres: float) -> tuple[float, float]:
    """Return the inverse of the predicted and of the measured depth of a pixel."""
    depth = scene.get("depth")
    if depth is None or depth.camera is None:
        raise MultisigmaError("A calibration must have predictions of depth with a camera. Found none. Give a camera.")
    if depth.scale_from == "calibration":
        raise MultisigmaError(
            "A calibration must have predictions without one. Found a calibrated one. Predict without `calibration`."
        )
    height, width = depth.disparity.shape
    x, y = round(column), round(row)
    if not (0 <= x < width and 0 <= y < height):
        raise MultisigmaError(
            f"A measured point must lie in its image of {width} columns and {height} rows. "
            f"Found column {column:g}, row {row:g}."
        )
    if not (math.isfinite(metres) and metres > 0):
        raise MultisigmaError(f"A measured distance must be positive. Found {metres:g} m.")
    # The median of a small window: a single pixel may lie on an edge.
    window = depth.disparity[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    disparity = float(np.median(window))
    if disparity <= 0:
        raise MultisigmaError(
            f"A measured point must lie where a finite depth is predicted. Found none at column {column:g}, "
            f"row {row:g}. Leave it out, or choose one on a surface."
        )
    return disparity / (depth.camera.baseline * depth.camera.fx), 1 / metres
