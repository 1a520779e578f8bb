"""Inverse depth: disparity in pixels at the working resolution, L1 loss, section 4."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from multisigma.data.frame import Frame, disparity_with_sky
from multisigma.data.picture import Picture
from multisigma.metrics import MaskedError
from multisigma.tasks.base import RegressionTask
from multisigma.tasks.baselines import RowMean


class Depth(RegressionTask):
    """Disparity in pixels, shape (1, H, W); targets are NaN without a label, and zero on the sky (section 5)."""

    name = "depth"
    channels = 1
    kind = "disparity"

    def target(self, frame: Frame) -> Tensor:
        disparity = _with_sky(frame)
        if disparity is None:
            return torch.full((1, *frame.image.shape[:2]), torch.nan)
        return torch.from_numpy(disparity[None])

    def predict(self, output: Tensor) -> Tensor:
        return output.float().clamp(min=0.0)

    def metrics(self) -> Sequence[Metric]:
        return [MaskedError("disparity")]

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"disparity": self.predict(outputs[self.name])[0, 0].cpu().numpy()}

    def baseline(self) -> RowMean:
        return RowMean()

    def visualize(self, frame: Frame, predictions: Mapping[str, NDArray[Any]]) -> list[Picture]:
        prediction, truth = predictions[self.name][0].astype(np.float32), _with_sky(frame)
        shown = prediction if truth is None or not np.isfinite(truth).any() else truth
        largest = max(float(np.nanpercentile(shown, 98)), 1e-6)
        return [
            Picture(
                "Inverse depth",
                _colour_disparity(prediction, largest),
                None if truth is None else _colour_disparity(truth, largest),
            )
        ]


def _with_sky(frame: Frame) -> NDArray[np.float32] | None:
    """The frame's disparity with zero on the sky; a frame without disparity stays unlabelled, its sky too."""
    return None if frame.disparity is None else disparity_with_sky(frame.disparity, frame.labels)[0]


def _colour_disparity(disparity: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """Near is bright, far is dark, no label is black."""
    rgb = matplotlib.colormaps["magma"](0.05 + 0.95 * np.sqrt(np.clip(np.nan_to_num(disparity) / largest, 0, 1)))
    rgb[np.isnan(disparity)] = 0
    return (255 * rgb[..., :3]).round().astype(np.uint8)
