"""Semantic segmentation: cross entropy averaged over labelled pixels, section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import IGNORE
from multisigma.datasets.scene import PredictedClasses
from multisigma.metrics import IoU, Metric, Reliability
from multisigma.tasks.base import Task
from multisigma.tasks.baselines import MajorityClass
from multisigma.tasks.results import PostprocessContext, TaskResult, resize
from multisigma.visualization.colours import MISTAKES_SCALE, colour_mistakes
from multisigma.visualization.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

    from multisigma.weighting import Likelihood


@dataclass(frozen=True, slots=True)
class SemanticResult(TaskResult):
    """The class of each pixel.

    Args:
        ids: Ids of the label space, shape (H, W).
        probability: Probability of each pixel's class by the softmax, shape (H, W); of logits over the temperature that
            was fitted on validation frames.
        labels: The label space.
        learned_probability: The same with the logits over the temperature that training has learned; None outside
            evaluation.
    """

    ids: NDArray[np.uint8]
    probability: NDArray[np.float32]
    labels: LabelSpace = CITYSCAPES
    learned_probability: NDArray[np.float32] | None = None

    def resized(self, height: int, width: int) -> SemanticResult:
        """Give each pixel the class that is most probable after linear interpolation: borders stay smooth."""
        if self.ids.shape == (height, width):
            return self
        ids, highest = np.zeros((height, width), np.uint8), np.full((height, width), -1, np.float32)
        for class_id in np.unique(self.ids):
            share = resize(np.where(self.ids == class_id, self.probability, np.float32(0)), height, width)
            ids[share > highest] = class_id
            np.maximum(highest, share, out=highest)
        return SemanticResult(ids, resize(self.probability, height, width), self.labels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"probability": self.probability.astype(np.float16)}

    def summary(self) -> Any:
        """Return the share of pixels and the mean probability of each class that was found, the largest first."""
        counts = np.bincount(self.ids.ravel(), minlength=256)
        sums = np.bincount(self.ids.ravel(), self.probability.ravel(), 256)
        return [
            {
                "class": self.labels.by_id[i].name,
                "id": i,
                "share": round(counts[i] / self.ids.size, 6),
                "probability": round(sums[i] / counts[i], 4),
            }
            for i in np.argsort(-counts, kind="stable").tolist()
            if counts[i]
        ]


_SAMPLES = 4096
"""Pixels of a batch of validation frames that the temperature is fitted to, about."""


class Semantic(Task):
    """A class for each pixel; targets and predictions are maps of training ids, shape (H, W), void 255."""

    name = "semantic"
    fields = ("semantic",)
    per_class = True

    @property
    def likelihood(self) -> Likelihood:
        from multisigma.weighting import Softmax

        return Softmax()

    def channels(self, labels: LabelSpace) -> int:
        return len(labels.train_classes)

    def target(self, frame: Frame) -> Tensor:
        import torch

        semantic = frame.get("semantic", ClassMap)
        if semantic is None:
            return torch.full(frame.size, IGNORE, dtype=torch.uint8)
        return torch.from_numpy(frame.labels.train_ids_of_ids[semantic.ids])

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        from torch.nn import functional as F

        total = F.cross_entropy(output.float(), target.long(), ignore_index=IGNORE, reduction="sum")
        return total, (target != IGNORE).sum()

    def class_samples(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        # Neighbours are alike: some thousand pixels, evenly over the frames, say as much as all.
        labelled = torch.nonzero(target.flatten() != IGNORE)[:, 0]
        chosen = labelled[:: max(1, len(labelled) // _SAMPLES)]
        return output.movedim(1, -1).flatten(0, -2)[chosen].float(), target.flatten()[chosen].long()

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        return [IoU(labels), Reliability(labels)]

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> SemanticResult:
        if not output.flags.c_contiguous:
            # The network may store channels last. OpenCV transposes several times as fast as NumPy.
            columns = np.moveaxis(output, 0, -1).reshape(-1, len(output))
            output = np.asarray(cv2.transpose(columns), np.float32).reshape(output.shape)
        highest, classes = _highest(output)
        ids = context.labels.ids_of_train_ids[classes]
        probability = _probability(output, highest, context.temperatures.get(self.name, 1.0))
        sigma = context.sigmas.get(self.name)
        # Softmax(f / sigma^2), equations 8 and 9 of the paper.
        learned = None if sigma is None else _probability(output, highest, sigma**2)
        return SemanticResult(ids, probability, context.labels, learned)

    def baseline_result(self, prediction: NDArray[Any], labels: LabelSpace) -> Any:
        return PredictedClasses(labels.ids_of_train_ids[prediction])

    def baseline(self) -> MajorityClass:
        return MajorityClass(IGNORE)

    def annotate(self, picture: NDArray[np.uint8], scene: Mapping[str, TaskResult]) -> NDArray[np.uint8]:
        result = cast(SemanticResult, scene[self.name])
        return cv2.addWeighted(picture, 0.65, result.labels.colors[result.ids], 0.35, 0.0).astype(np.uint8)

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        result = cast(SemanticResult, scene[self.name])
        semantic = frame.get("semantic", ClassMap)
        classes = [result.labels.by_id[i] for i in np.unique(result.ids).tolist() if i in result.labels.by_id]
        title, legend = "Semantic segmentation", tuple((label.name, label.color) for label in classes)
        prediction = result.labels.colors[result.ids]
        if semantic is None:
            return [Picture(title, prediction, None, legend=legend)]
        truth = frame.labels.colors[semantic.ids]
        if result.labels != frame.labels:
            return [Picture(title, prediction, truth, legend=legend)]
        is_evaluated = frame.labels.train_ids_of_ids[semantic.ids] != IGNORE
        mistakes = colour_mistakes(result.ids != semantic.ids, is_evaluated)
        return [Picture(title, prediction, truth, mistakes, error_scale=MISTAKES_SCALE, legend=legend)]


@njit(cache=True, nogil=True)
def _highest(logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the highest logit of each pixel and its channel, the first of equal ones; each of shape (H, W)."""
    classes, height, width = logits.shape
    highest, channel = logits[0].copy(), np.empty((height, width), np.uint8)
    # Classes are floats like the logits, and nothing branches: so the compiler makes vector instructions.
    row = np.empty(width, np.float32)
    for y in range(height):
        row[:] = 0
        for c in range(1, classes):
            number = np.float32(c)
            for x in range(width):
                value, before = logits[c, y, x], highest[y, x]
                row[x] = number if value > before else row[x]
                highest[y, x] = value if value > before else before
        for x in range(width):
            channel[y, x] = row[x]
    return highest, channel


def _probability(logits: NDArray[np.float32], highest: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return the probability of each pixel's highest logit, shape (H, W): softmax(logits / temperature)."""
    shifted = (logits - highest).reshape(len(logits), -1)
    shifted *= np.float32(1 / temperature)
    # OpenCV's exponential is as exact as NumPy's, and several times as fast where there is no AVX-512.
    return np.float32(1) / cv2.exp(shifted, dst=shifted).sum(0).reshape(highest.shape)
