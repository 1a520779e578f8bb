"""Semantic segmentation: cross entropy averaged over labelled pixels, section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from multisigma.datasets.fields import ClassMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import IGNORE
from multisigma.metrics import ClassIoU, Reliability
from multisigma.tasks.base import Task
from multisigma.tasks.baselines import MajorityClass
from multisigma.tasks.results import PostprocessContext, TaskResult, resize
from multisigma.visualization.picture import Picture
from multisigma.weighting import Softmax


@dataclass(frozen=True, slots=True)
class SemanticResult(TaskResult):
    """The class of each pixel.

    Args:
        ids: Ids of the label space, shape (H, W).
        probability: Probability of each pixel's class by the softmax, shape (H, W).
        labels: The label space.
    """

    ids: NDArray[np.uint8]
    probability: NDArray[np.float32]
    labels: LabelSpace = CITYSCAPES

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

    def scene_fields(self) -> dict[str, Any]:
        return {"labels": self.ids}

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


class Semantic(Task):
    """A class for each pixel; targets and predictions are maps of training ids, shape (H, W), void 255."""

    name = "semantic"
    likelihood = Softmax()
    fields = ("semantic",)

    def channels(self, labels: LabelSpace) -> int:
        return len(labels.train_classes)

    def target(self, frame: Frame) -> Tensor:
        semantic = frame.get("semantic", ClassMap)
        if semantic is None:
            return torch.full(frame.size, IGNORE, dtype=torch.uint8)
        return torch.from_numpy(frame.labels.train_ids_of_ids[semantic.ids])

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        total = F.cross_entropy(output.float(), target.long(), ignore_index=IGNORE, reduction="sum")
        return total, (target != IGNORE).sum()

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1).to(torch.uint8)

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        return [ClassIoU([label.name for label in labels.train_classes], IGNORE)]

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> SemanticResult:
        logits = torch.from_numpy(output)[None]
        ids = context.labels.ids_of_train_ids[self.predict(logits)[0].numpy()]
        return SemanticResult(ids, logits.softmax(1).amax(1)[0].numpy(), context.labels)

    def calibration(self, sigma: float | None) -> Sequence[Metric]:
        # Softmax(f / sigma^2), equations 8 and 9 of the paper.
        learned = {} if sigma is None else {"temperature": sigma**2}
        return [Reliability(self.name, {"": 1.0, **learned}, IGNORE)]

    def baseline(self) -> MajorityClass:
        return MajorityClass(IGNORE)

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        result = cast(SemanticResult, scene[self.name])
        semantic = frame.get("semantic", ClassMap)
        truth = None if semantic is None else frame.labels.colors[semantic.ids]
        return [Picture("Semantic segmentation", result.labels.colors[result.ids], truth)]
