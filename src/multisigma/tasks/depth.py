"""Inverse depth: disparity in pixels at the working resolution, L1 loss, section 4."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera, Frame, disparity_with_sky
from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.metrics import DepthErrors, IntervalCoverage, Metric
from multisigma.tasks.base import Noise, RegressionTask
from multisigma.tasks.baselines import RowMean
from multisigma.tasks.results import PostprocessContext, TaskResult, finite, resize
from multisigma.visualization.colours import colour_disparity, colour_error, disparity_scale, error_scale
from multisigma.visualization.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

ScaleFrom = Literal["training camera", "calibration", "assumption"]


@dataclass(frozen=True, slots=True)
class DepthResult(TaskResult):
    """Disparity, and with a camera the depth in metres.

    Args:
        disparity: Disparity in pixels at the size of the image, at least 0; shape (H, W).
        camera: The camera at the size of the image; None if not known.
        noise_scale: Scale of the errors of the disparity over validation frames, pixels; None if not measured.
        sigma: Scale of the noise that training has learned, pixels; None outside evaluation.
        noise: The distribution of the errors. The scale is the mean absolute error of a Laplace distribution, and the
            root mean square error of a normal one.
        scale_from: Where the scale of the metres comes from: 'training camera', 'calibration', or 'assumption', which
            takes the camera's baseline for that of the training frames. None without a camera.
    """

    disparity: NDArray[np.float32]
    camera: Camera | None = None
    noise_scale: float | None = None
    sigma: float | None = None
    noise: Noise = "laplace"
    scale_from: ScaleFrom | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """The disparity with a channel axis, as the targets have it; shape (1, H, W)."""
        return self.disparity[None]

    @property
    def metres(self) -> NDArray[np.float32]:
        """Depth in metres, infinite where the disparity is 0; shape (H, W).

        Raises:
            MultisigmaError: There is no camera.
        """
        return self._metres(self.disparity)

    def interval(self, share: float = 0.9) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return an interval that holds the true depth with a probability.

        The errors of the disparity are assumed to follow the distribution `noise` with the scale `noise_scale`. Under
        Laplace noise of scale b, an error is at most -b log(1 - share) with the probability `share`.

        Args:
            share: The probability, from 0 to below 1.

        Returns:
            Nearest and farthest depth in metres, each of shape (H, W). The farthest is infinite where the disparity may
            be 0.

        Raises:
            MultisigmaError: Without a camera, or without a scale, or `share` is out of its range.
        """
        if not 0 <= share < 1:
            raise MultisigmaError(f"Parameter `share` must be from 0 to below 1. Found {share}.")
        if self.noise_scale is None:
            raise MultisigmaError(
                "An interval must have a scale that was measured on validation frames. Found none in the model. "
                "Train with a labelled split 'val'."
            )
        reach = np.float32(
            -self.noise_scale * math.log1p(-share)
            if self.noise == "laplace"
            else self.noise_scale * NormalDist().inv_cdf((1 + share) / 2)
        )
        return self._metres(self.disparity + reach), self._metres(np.maximum(self.disparity - reach, np.float32(0)))

    def _metres(self, disparity: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.camera is None:
            raise MultisigmaError(
                "Depth in metres must have a camera. Found none. Give one: `model.predict(image, camera=Camera(...))`."
            )
        with np.errstate(divide="ignore"):
            return np.float32(self.camera.baseline * self.camera.fx) / disparity

    def resized(self, height: int, width: int) -> DepthResult:
        if self.disparity.shape == (height, width):
            return self
        x, y = width / self.disparity.shape[1], height / self.disparity.shape[0]
        return DepthResult(
            resize(self.disparity, height, width) * np.float32(x),
            self.camera and self.camera.resized(x, y),
            self.noise_scale and self.noise_scale * x,
            self.sigma and self.sigma * x,
            self.noise,
            self.scale_from,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"disparity": self.disparity}

    def summary(self) -> Any:
        """Return quantiles of the disparity, and with a camera the median depth; None where that is infinite."""
        shares = (0.05, 0.5, 0.95)
        quantiles = zip(shares, np.quantile(self.disparity, shares).tolist(), strict=True)
        return {
            "disparity_px": {f"{share:.0%}": round(value, 3) for share, value in quantiles},
            "median_m": None if self.camera is None else finite(float(np.median(self.metres))),
            "noise_scale_px": finite(self.noise_scale),
            "scale_from": self.scale_from,
        }


class Depth(RegressionTask):
    """Disparity in pixels, shape (1, H, W); targets are NaN without a label, and zero on the sky (section 5)."""

    name = "depth"
    unit = "px"
    fields = ("disparity",)

    def target(self, frame: Frame) -> Tensor:
        import torch

        disparity = _with_sky(frame)
        if disparity is None:
            return torch.full((1, *frame.size), torch.nan)
        return torch.from_numpy(disparity[None])

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        return [DepthErrors(), IntervalCoverage(self.name, self.true_values())]

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> DepthResult:
        disparity = np.maximum(output[0], np.float32(0))
        scales = context.noise_scales.get(self.name), context.sigmas.get(self.name)
        camera, baseline = context.camera, context.baseline
        if camera is None:
            return DepthResult(disparity, None, *scales, self.noise)
        if baseline is None:
            return DepthResult(disparity, camera, *scales, self.noise, "assumption")
        # One image does not show the baseline: disparities are those of the training pair. See docs/point-clouds.md.
        ratio = camera.baseline / baseline
        noise_scale, sigma = (scale and scale * ratio for scale in scales)
        scale_from: ScaleFrom = "calibration" if context.calibrated else "training camera"
        return DepthResult(disparity * np.float32(ratio), camera, noise_scale, sigma, self.noise, scale_from)

    def video_panel(self, scene: Mapping[str, TaskResult]) -> NDArray[np.uint8]:
        disparity = cast(DepthResult, scene[self.name]).disparity
        # The disparity of a car five metres ahead of the Cityscapes camera.
        return colour_disparity(disparity, disparity.shape[1] / 20)

    def baseline(self) -> RowMean:
        return RowMean()

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        prediction, truth = cast(DepthResult, scene[self.name]).disparity, _with_sky(frame)
        shown = prediction if truth is None or not np.isfinite(truth).any() else truth
        largest = max(float(np.nanpercentile(shown, 98)), 1e-6)
        camera = frame.camera
        error = None if truth is None else np.abs(prediction - truth)
        # A quarter of the range, so that small errors are seen too.
        worst = largest / 4
        return [
            Picture(
                "Depth",
                colour_disparity(prediction, largest),
                None if truth is None else colour_disparity(truth, largest),
                None if error is None else colour_error(error, worst),
                disparity_scale(largest, camera.fx * camera.baseline if camera else None),
                error_scale("error of disparity, px", worst),
            )
        ]


def _with_sky(frame: Frame) -> NDArray[np.float32] | None:
    """Return the frame's disparity with zero on the sky; None if the frame has no disparity."""
    found = disparity_with_sky(frame)
    return None if found is None else found[0]
