"""A task's result for one image: what post-processing makes of the network's output."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.transform import nearest_pixels

__all__ = ["DenseResult", "PostprocessContext", "TaskResult", "calibrate_scores", "finite", "resize"]


@dataclass(frozen=True, slots=True)
class PostprocessContext:
    """Settings and scales that post-processing needs besides the outputs of the network.

    Args:
        labels: The model's classes.
        camera: The camera at the size of the outputs; None if not known.
        noise_scales: Scale of each task's errors at the size of the outputs, by task name; see `Task.noise_scale`.
        temperatures: What the logits of tasks of classes are divided by, by task name; fitted on validation frames.
        score_calibrations: Slope and intercept that calibrate the scores of objects, by task name; see
            `calibrate_scores`.
        sigmas: The noise scale that training has learned for each task, by task name; given in evaluation alone, whose
            calibration measures it.
        baseline: Baseline of the stereo pair that the predicted disparities are those of, metres; None if not known.
        calibrated: Whether the baseline comes from distances that were measured with the camera.
    """

    labels: LabelSpace = CITYSCAPES
    camera: Camera | None = None
    noise_scales: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    score_calibrations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sigmas: Mapping[str, float] = field(default_factory=dict)
    baseline: float | None = None
    calibrated: bool = False


class TaskResult(ABC):
    """A task's result for one image."""

    @abstractmethod
    def resized(self, height: int, width: int) -> Self:
        """Return the result for the image at another size, lengths in pixels included."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is saved as `.npy` files, by name."""
        return {}

    def summary(self) -> Any:
        """Return what is saved as JSON."""
        return {}


@dataclass(frozen=True, slots=True)
class DenseResult(TaskResult):
    """A prediction for each pixel, of a task without a result of its own.

    Args:
        values: In the form of the task's targets, shape (H, W) or (channels, H, W). Floats are resized linearly and
            keep their unit; integers are resized by nearest neighbour.
        noise_scale: Scale of the errors over validation frames; None if not measured.
        sigma: Scale of the noise that training has learned; None outside evaluation.
        noise: The distribution of the errors, 'laplace' or 'gaussian'.
    """

    values: NDArray[Any]
    noise_scale: float | None = None
    sigma: float | None = None
    noise: str = "laplace"

    def resized(self, height: int, width: int) -> DenseResult:
        return replace(self, values=resize(self.values, height, width))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"values": self.values}

    def summary(self) -> Any:
        return {"shape": list(self.values.shape), "type": self.values.dtype.name}


def resize(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize the last two axes: floats by area where that shrinks and else linearly, integers by nearest neighbour.

    Args:
        values: Shape (H, W) or (channels, H, W).
        height: New H.
        width: New W.
    """
    if values.shape[-2:] == (height, width):
        return values
    if values.ndim == 3:
        return np.stack([resize(channel, height, width) for channel in values])
    if not np.issubdtype(values.dtype, np.floating):
        rows, columns = nearest_pixels(values.shape[0], height), nearest_pixels(values.shape[1], width)
        return values[rows[:, None], columns]
    shrinks = height <= values.shape[0] and width <= values.shape[1]
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def calibrate_scores(scores: NDArray[np.float64], slope: float, intercept: float) -> NDArray[np.float64]:
    """Return calibrated probabilities: sigmoid(slope * log(score / (1 - score)) + intercept) (Platt, 1999).

    Args:
        scores: From 0 to 1, any shape.
        slope: Positive: the order of the scores stays.
        intercept: Any number.

    Example:
        >>> calibrate_scores(np.array([0.5, 0.9]), 1.0, -1.0).round(3).tolist()
        [0.269, 0.768]
    """
    return np.asarray(1 / (1 + np.exp(-slope * log_odds(scores) - intercept)))


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(score / (1 - score)), of scores that are brought within 1e-6 to 1 - 1e-6."""
    kept = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def finite(value: float | None) -> float | None:
    """Return a number to three digits; None where it is none or infinite, which JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else round(value, 3)
