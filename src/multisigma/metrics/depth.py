"""Errors of disparity and depth over valid ground truth."""

from __future__ import annotations

from math import nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap
from multisigma.datasets.frame import Frame, disparity_with_sky
from multisigma.datasets.scene import DisparityPrediction, Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics.base import Counts, Measurement, SumMetric
from multisigma.metrics.counting import finite_sum, ratio

__all__ = ["FARTHEST", "NATIVE_WIDTH", "DepthErrors"]

NATIVE_WIDTH: Final = 2048
"""Width of a Cityscapes frame in pixels; disparity grows with the width."""
FARTHEST: Final = 80.0
"""Largest true depth in metres that is evaluated, as is usual in the literature."""
_NEAREST: Final = 1e-3
_DELTA: Final = 1.25

_MEAN: Final = "Mean absolute error of the disparity in pixels, over every labelled pixel{}."
_RMS: Final = (
    "Root of the mean squared error of the disparity in pixels, over every labelled pixel{}; large errors weigh more."
)
_LAND: Final = " except the sky, in all frames that have class ids"
_NATIVE: Final = (
    "Disparity errors times 2048 / width: what they would be in pixels at Cityscapes' own size; with the sky as zero, "
    "and without the sky. Table 2 of the paper does not say which it has."
)
_DEPTH: Final = (
    "Depth in metres from baseline, focal length and disparity, over pixels of at most 80 m: absolute error over the "
    "true depth, root of the mean squared error, and the share of pixels with max(predicted / true, true / predicted) "
    "below 1.25, 1.25² and 1.25³."
)
# Key and name of the disparity errors, at the frame's own width and at the native one, with and without the sky.
_DISPARITIES: Final = {
    "disparity": "",
    "disparity_without_sky": " without sky",
    "disparity_native": " at 2048 px",
    "disparity_native_without_sky": " at 2048 px without sky",
}


class DepthErrors(SumMetric):
    """Mean and RMS error of disparity in pixels, and the usual errors of depth in metres.

    Disparity errors are given twice: with the sky, whose true disparity is zero (section 5), and without it. Both are
    given at the frame's width and times 2048 / width, the equivalent at Cityscapes' own size. Table 2 does not say
    which width and which sky it has. Without class ids the sky is unknown: the valid pixels of the frame then count in
    the errors with sky only.

    Depth is baseline * focal length / disparity of each frame's camera, over pixels with a true depth of at most 80 m;
    predictions are clipped to 0.001 to 80 m. Absolute relative error, RMSE, and the shares of pixels whose ratio of
    predicted and true depth, whichever way is above one, is below 1.25, 1.25^2 and 1.25^3: Eigen et al. (2014).
    """

    def blanks(self) -> list[Measurement]:
        found = []
        for key, where in _DISPARITIES.items():
            for kind, name, definition in (("error", "mean", _MEAN), ("rms", "RMS", _RMS)):
                text = (
                    _NATIVE
                    if "native" in key
                    else definition.format(_LAND if where else ", the sky as zero, in all frames")
                )
                main = key == "disparity" and kind == "error"
                title = f"Disparity {name} error{where}"
                found.append(Measurement(f"{key}_{kind}_px", nan, "px", False, text, name=title, is_main=main))
        return [
            *found,
            Measurement("depth_abs_rel", nan, "%", False, _DEPTH, name="Depth absolute relative error"),
            Measurement("depth_rmse_m", nan, "m", False, _DEPTH, name="Depth RMSE"),
            Measurement("depth_delta_1", nan, "%", True, _DEPTH, name="Depth within 1.25"),
            Measurement("depth_delta_2", nan, "%", True, _DEPTH, name="Depth within 1.25²"),
            Measurement("depth_delta_3", nan, "%", True, _DEPTH, name="Depth within 1.25³"),
        ]

    def zeros(self) -> Counts:
        return {
            # Absolute and squared error for each of `_DISPARITIES`.
            "disparity_sums": np.zeros((4, 2)),
            "disparity_pixels": np.zeros(4, np.int64),
            # Relative error, and squared error in metres.
            "depth_sums": np.zeros(2),
            "depth_within": np.zeros(3, np.int64),
            "depth_pixels": np.zeros((), np.int64),
        }

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene["depth"].disparity`, in pixels at the frame's size, and the field "disparity".

        Raises:
            MultisigmaError: If shapes differ.
        """
        result: DisparityPrediction | None = scene.get("depth")
        truth = disparity_with_sky(frame)
        if result is None or truth is None:
            return {}
        prediction, (true, sky) = result.disparity, truth
        if prediction.shape != true.shape:
            raise MultisigmaError(
                "Predicted and true disparity of a frame should have the same shape (H, W). "
                f"Found {prediction.shape} and {true.shape}."
            )
        # Thresholds must not be decided by the rounding of 32 bits.
        true, prediction = true.astype(np.float64), prediction.astype(np.float64)
        errors = prediction - true
        valid = ~np.isnan(true)
        land = valid & ~sky if frame.get("semantic", ClassMap) is not None else np.zeros_like(valid)
        sums = np.array([[finite_sum(np.abs(e)), finite_sum(np.square(e))] for e in (errors[valid], errors[land])])
        pixels = np.array([valid.sum(), land.sum()])
        scale = NATIVE_WIDTH / errors.shape[1]
        counts = dict(self.zeros()) | {
            "disparity_sums": np.vstack((sums, sums * (scale, scale**2))),
            "disparity_pixels": np.hstack((pixels, pixels)),
        }
        if frame.camera is not None:
            bf = frame.camera.baseline * frame.camera.fx
            within_range = valid & (true * FARTHEST >= bf)
            clipped = prediction[within_range].clip(bf / FARTHEST, bf / _NEAREST)
            counts |= _count_depth(bf / clipped, bf / true[within_range])
        return counts

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        means = ratio(totals["disparity_sums"], totals["disparity_pixels"][..., None])
        numbers = {}
        for row, key in enumerate(_DISPARITIES):
            numbers[f"{key}_error_px"] = means[:, row, 0]
            numbers[f"{key}_rms_px"] = np.sqrt(means[:, row, 1])
        pixels = totals["depth_pixels"][:, None]
        relative, squared = ratio(totals["depth_sums"], pixels).T
        within = ratio(totals["depth_within"], pixels).T
        shares = {f"depth_delta_{power}": share for power, share in enumerate(within, 1)}
        return numbers | {"depth_abs_rel": relative, "depth_rmse_m": np.sqrt(squared)} | shares


def _count_depth(depth: NDArray[np.floating], true: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    """Count predicted and true metres, shape (N,)."""
    errors = np.abs(depth - true)
    larger = np.maximum(depth / true, true / depth)
    return {
        "depth_sums": np.array([finite_sum(errors / true), finite_sum(np.square(errors))]),
        "depth_within": np.array([(larger < _DELTA**power).sum() for power in (1, 2, 3)]),
        "depth_pixels": np.asarray(true.size),
    }
