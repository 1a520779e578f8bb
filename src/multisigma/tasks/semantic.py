"""Semantic segmentation: cross entropy averaged over labelled pixels, section 4."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from multisigma.data.frame import Frame
from multisigma.data.labels import IGNORE, TRAIN_CLASSES, TRAIN_ID_OF
from multisigma.data.picture import Picture
from multisigma.metrics import ClassIoU, Reliability
from multisigma.tasks.base import Task
from multisigma.tasks.baselines import MajorityClass
from multisigma.weighting import Softmax

_COLOURS = np.zeros((256, 3), np.uint8)
_COLOURS[: len(TRAIN_CLASSES)] = [label.color for label in TRAIN_CLASSES]
_LABEL_IDS = np.array([label.id for label in TRAIN_CLASSES], np.uint8)


class Semantic(Task):
    """A class for each pixel; targets and predictions are maps of the 19 training ids, shape (H, W), void 255."""

    name = "semantic"
    channels = len(TRAIN_CLASSES)
    likelihood = Softmax()
    kind = "labels"

    def target(self, frame: Frame) -> Tensor:
        if frame.labels is None:
            return torch.full(frame.image.shape[:2], IGNORE, dtype=torch.uint8)
        return torch.from_numpy(TRAIN_ID_OF[frame.labels])

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        total = F.cross_entropy(output.float(), target.long(), ignore_index=IGNORE, reduction="sum")
        return total, (target != IGNORE).sum()

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1).to(torch.uint8)

    def metrics(self) -> Sequence[Metric]:
        return [ClassIoU([label.name for label in TRAIN_CLASSES], IGNORE)]

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"labels": _LABEL_IDS[self.predict(outputs[self.name])[0].cpu().numpy()]}

    def calibration(self, sigma: float | None) -> Sequence[Metric]:
        # Softmax(f / sigma^2), equations 8 and 9 of the paper.
        learned = {} if sigma is None else {"temperature": sigma**2}
        return [Reliability(self.name, {"": 1.0, **learned}, IGNORE)]

    def baseline(self) -> MajorityClass:
        return MajorityClass(self.channels, IGNORE)

    def visualize(self, frame: Frame, predictions: Mapping[str, NDArray[Any]]) -> list[Picture]:
        truth = None if frame.labels is None else _COLOURS[TRAIN_ID_OF[frame.labels]]
        return [Picture("Semantic segmentation", _COLOURS[predictions[self.name]], truth)]
