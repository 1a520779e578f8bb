"""Intersection over union of classes, by the rule of cityscapesScripts' `evalPixelLevelSemanticLabeling`."""

from collections.abc import Sequence
from math import isnan, nan

import torch
from torch import Tensor
from torchmetrics import Metric

from multisigma.errors import MultisigmaError


class ClassIoU(Metric):
    """Intersection over union per class and its mean, from one confusion matrix over the whole data set.

    IoU = TP / (TP + FP + FN), counted in pixels over all frames, never averaged per image. A class that occurs in
    neither target nor prediction has no IoU (nan) and is left out of the mean; a class that is only ever predicted has
    IoU 0 and counts. Pixels whose target is `ignore_index` count nowhere.

    Args:
        class_names: Names of the classes 0 .. C-1, in this order.
        ignore_index: Target value of pixels without a label.

    Example:
        >>> import torch
        >>> metric = ClassIoU(["road", "car"])
        >>> metric.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 255]]]))
        >>> metric.compute()
        {'iou_class': 0.25, 'iou_per_class': {'road': 0.5, 'car': 0.0}}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confusion: Tensor

    def __init__(self, class_names: Sequence[str], ignore_index: int = 255) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.ignore_index = ignore_index
        count = len(self.class_names)
        # Rows are targets, columns predictions.
        self.add_state("confusion", torch.zeros(count, count, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: Predicted class per pixel, integers of shape (B, H, W).
            target: True class per pixel or `ignore_index`, integers of shape (B, H, W).

        Raises:
            MultisigmaError: If shapes differ or a value is neither a class nor, in the target, `ignore_index`.
        """
        if prediction.shape != target.shape:
            raise MultisigmaError(
                "Prediction and target of the IoU should have the same shape. "
                f"Found {tuple(prediction.shape)} and {tuple(target.shape)}."
            )
        count = len(self.class_names)
        labelled = target != self.ignore_index
        predicted, true = prediction[labelled].long(), target[labelled].long()
        for name, values in (("prediction", predicted), ("target", true)):
            outside = values[(values < 0) | (values >= count)]
            if outside.numel():
                raise MultisigmaError(
                    f"Every {name} of the IoU should be a class from 0 to {count - 1}, "
                    f"a target without a label {self.ignore_index}. Found {int(outside[0])}."
                )
        self.confusion += torch.bincount(true * count + predicted, minlength=count * count).reshape(count, count)

    def compute(self) -> dict[str, float | dict[str, float]]:
        """Give `iou_class`, the mean over classes that occur, and `iou_per_class`, by name; nan where undefined."""
        hits = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        per_class = {
            name: hit / total if total else nan
            for name, hit, total in zip(self.class_names, hits.tolist(), union.tolist(), strict=True)
        }
        defined = [iou for iou in per_class.values() if not isnan(iou)]
        return {"iou_class": sum(defined) / len(defined) if defined else nan, "iou_per_class": per_class}
