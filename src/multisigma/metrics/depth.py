"""Errors of disparity and depth over valid ground truth."""

from math import nan, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from multisigma.datasets.frame import Frame, disparity_with_sky
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import exactly, value

NATIVE_WIDTH = 2048
"""Width of a Cityscapes frame in pixels; disparity grows with the width."""
FARTHEST = 80.0
"""Metres up to which errors of depth are counted, as the field does."""
_NEAREST = 1e-3
_DELTA = 1.25

# Keys of the disparity errors: with and without the sky, each at the frame's own width and at the native one.
_ALL, _LAND, _NATIVE, _NATIVE_LAND = _DISPARITIES = (
    "disparity",
    "disparity_without_sky",
    "disparity_native",
    "disparity_native_without_sky",
)


class DepthErrors(Metric):
    """Mean and RMS error of disparity in pixels, and the errors of depth in metres that the field reports.

    Disparity counts over all valid pixels, the sky as a true disparity of zero (section 5); and without the sky. Both
    are given at the frame's width and times 2048 / width, the equivalent at Cityscapes' own size. Table 2 does not say
    which of the two it has. A frame without label ids has an unknown sky: it counts with its valid disparities alone,
    and not at all for the errors without sky.

    Depth is baseline * focal length / disparity of each frame's camera, over pixels with a true depth of at most 80 m;
    predictions are clipped to 0.001 to 80 m. Absolute relative error, RMSE, and the shares of pixels whose ratio of
    predicted and true depth, whichever way is above one, is below 1.25, 1.25^2 and 1.25^3: Eigen et al. (2014).
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    disparity_sums: Tensor
    disparity_counts: Tensor
    depth_sums: Tensor
    within: Tensor
    depth_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Absolute and squared error for each of `_DISPARITIES`.
        self.add_state("disparity_sums", exactly(np.zeros((4, 2))), dist_reduce_fx="sum")
        self.add_state("disparity_counts", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")
        # Relative error, and squared error in metres.
        self.add_state("depth_sums", exactly(np.zeros(2)), dist_reduce_fx="sum")
        self.add_state("within", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("depth_count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scene: Scene, truth: Frame) -> None:
        """Count a frame; nothing happens if scene or truth have no disparity.

        Args:
            scene: The predicted disparity of each pixel, in pixels at the frame's size.
            truth: Disparity; labels for the sky and the camera for depth, where there are any.

        Raises:
            MultisigmaError: If shapes differ.
        """
        found = disparity_with_sky(truth)
        if scene.disparity is None or found is None:
            return
        true, sky = found
        if scene.disparity.shape != true.shape:
            raise MultisigmaError(
                "Predicted and true disparity of a frame should have the same shape (H, W). "
                f"Found {scene.disparity.shape} and {true.shape}."
            )
        # Thresholds must not be decided by the rounding of 32 bits.
        true, guess = true.astype(np.float64), scene.disparity.astype(np.float64)
        errors = guess - true
        valid = ~np.isnan(true)
        land = valid & ~sky if truth.get("semantic") is not None else np.zeros_like(valid)
        scale = NATIVE_WIDTH / errors.shape[1]
        pixels = {_ALL: (valid, 1.0), _LAND: (land, 1.0), _NATIVE: (valid, scale), _NATIVE_LAND: (land, scale)}
        for row, (kept, factor) in enumerate(pixels[name] for name in _DISPARITIES):
            some = errors[kept] * factor
            self.disparity_sums[row] += exactly([np.abs(some).sum(), np.square(some).sum()])
            self.disparity_counts[row] += some.size
        if truth.camera is not None:
            bf = truth.camera.baseline * truth.camera.fx
            near = valid & (true * FARTHEST >= bf)
            self._count_depth(bf / guess[near].clip(bf / FARTHEST, bf / _NEAREST), bf / true[near])

    def _count_depth(self, depth: NDArray[np.floating], true: NDArray[np.floating]) -> None:
        """Counts predicted and true metres, shape (N,)."""
        errors = np.abs(depth - true)
        self.depth_sums += exactly([(errors / true).sum(), np.square(errors).sum()])
        ratio = np.maximum(depth / true, true / depth)
        self.within += torch.tensor([int((ratio < _DELTA**power).sum()) for power in (1, 2, 3)])
        self.depth_count += true.size

    def compute(self) -> dict[str, float]:
        """Return the errors by name; nan where nothing was valid."""
        sums = value(self.disparity_sums)
        numbers = {}
        for row, name in enumerate(_DISPARITIES):
            count = int(self.disparity_counts[row])
            numbers[f"{name}_error_px"] = float(sums[row, 0] / count) if count else nan
            numbers[f"{name}_rms_px"] = sqrt(sums[row, 1] / count) if count else nan
        count = int(self.depth_count)
        relative, squared = value(self.depth_sums)
        numbers["depth_abs_rel"] = float(relative / count) if count else nan
        numbers["depth_rmse_m"] = sqrt(squared / count) if count else nan
        for power, inside in enumerate(self.within.tolist(), 1):
            numbers[f"depth_delta_{power}"] = inside / count if count else nan
        return numbers
