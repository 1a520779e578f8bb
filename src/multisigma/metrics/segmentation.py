"""Intersection over union, by the rules of cityscapesScripts' `evalPixelLevelSemanticLabeling`."""

from collections.abc import Mapping, Sequence
from math import isnan, nan

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torchmetrics import Metric

from multisigma.datasets.fields import ClassMap, InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.labels import INSTANCE_CLASSES, KNOWN_IDS, LABELS, TRAIN_CLASSES
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import count_pairs, exactly, find_ids, value


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
            name: _ratio(hit, total)
            for name, hit, total in zip(self.class_names, hits.tolist(), union.tolist(), strict=True)
        }
        return {"iou_class": _mean(per_class), "iou_per_class": per_class}


# Average size in pixels of an instance in the training set at 1024x2048, from the Cityscapes script.
_AVERAGE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
_IDS = len(KNOWN_IDS)
_EVALUATED = np.array([label.id for label in TRAIN_CLASSES])
_CATEGORIES = {
    label.category: tuple(other.id for other in TRAIN_CLASSES if other.category == label.category)
    for label in TRAIN_CLASSES
}
# A category has instances if all its labels do, those that evaluation ignores (caravan, trailer) included.
_INSTANCE_CATEGORIES = {
    category: tuple(label.id for label in LABELS if label.category == category and label.id >= 0)
    for category in _CATEGORIES
    if all(label.has_instances for label in LABELS if label.category == category and label.id >= 0)
}


class CityscapesIoU(Metric):
    """IoU and instance-level IoU of classes and categories, by the rules of `evalPixelLevelSemanticLabeling`.

    Section 3.1 of Cordts et al. (2016). Counted in raw label ids: pixels whose true label evaluation ignores count
    nowhere; a predicted label that evaluation ignores is a miss of the true class. iIoU = iTP / (iTP + FP + iFN) weighs
    each pixel of a true instance by the class's average size over the instance's size; false positives have no weight,
    for predicted pixels belong to no instance. Groups are no instances. A class that occurs neither in truth nor in
    prediction is nan and left out of the mean.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confusion: Tensor
    class_hits: Tensor
    class_misses: Tensor
    category_hits: Tensor
    category_misses: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Rows are true label ids, columns predicted ones.
        self.add_state("confusion", torch.zeros((_IDS, _IDS), dtype=torch.int64), dist_reduce_fx="sum")
        for kind, names in (("class", _AVERAGE_SIZES), ("category", _INSTANCE_CATEGORIES)):
            for counted in ("hits", "misses"):
                self.add_state(f"{kind}_{counted}", exactly(np.zeros(len(names))), dist_reduce_fx="sum")

    def update(self, scene: Scene, truth: Frame) -> None:
        """Count a frame; nothing happens if scene or truth have no labels.

        Args:
            scene: The predicted label of each pixel, any of 0 to 33.
            truth: The true labels; without instance ids the frame counts for the IoU alone.

        Raises:
            MultisigmaError: If shapes differ or a label is unknown.
        """
        semantic, instances = truth.get("semantic", ClassMap), truth.get("instance", InstanceMap)
        if scene.labels is None or semantic is None:
            return
        confusion = count_pairs(semantic.ids, np.arange(_IDS, dtype=np.int32), _IDS, scene.labels, _IDS)
        self.confusion += torch.from_numpy(confusion)
        if instances is None:
            return
        found = find_ids(instances.ids)
        ids, sizes = found.present, found.pixels
        predicted = count_pairs(instances.ids, found.place, len(ids), scene.labels, _IDS)  # (instances, labels)
        for index, label in enumerate(INSTANCE_CLASSES):
            mine = (ids > 1000) & (ids // 1000 == label.id)
            weights = _AVERAGE_SIZES[label.name] / sizes[mine]
            hits = predicted[mine, label.id]
            self.class_hits[index] += exactly((hits * weights).sum())
            self.class_misses[index] += exactly(((sizes[mine] - hits) * weights).sum())
            if label.category in _INSTANCE_CATEGORIES:
                place = list(_INSTANCE_CATEGORIES).index(label.category)
                hits = predicted[mine][:, _INSTANCE_CATEGORIES[label.category]].sum(1)
                self.category_hits[place] += exactly((hits * weights).sum())
                self.category_misses[place] += exactly(((sizes[mine] - hits) * weights).sum())

    def compute(self) -> dict[str, float | dict[str, float]]:
        """Give `iou_class`, `iiou_class`, `iou_category`, `iiou_category`, and `_per_` class or category by name."""
        confusion = self.confusion.cpu().numpy()

        def pixels(true: ArrayLike, predicted: ArrayLike) -> int:
            return int(confusion[np.asarray(true)][:, np.asarray(predicted)].sum())

        def false_positives(ids: Sequence[int]) -> int:
            """Pixels with one of these labels predicted whose true label is another that evaluation looks at."""
            return pixels(np.setdiff1d(_EVALUATED, ids), ids)

        def iou(ids: Sequence[int]) -> float:
            return _ratio(pixels(ids, ids), pixels(ids, np.arange(_IDS)) + false_positives(ids))

        per_class = {label.name: iou([label.id]) for label in TRAIN_CLASSES}
        per_category = {name: iou(ids) for name, ids in _CATEGORIES.items()}
        hits, misses = value(self.class_hits), value(self.class_misses)
        instance_per_class = {
            label.name: _ratio(hits[i], hits[i] + misses[i] + false_positives([label.id]))
            for i, label in enumerate(INSTANCE_CLASSES)
        }
        hits, misses = value(self.category_hits), value(self.category_misses)
        instance_per_category = {
            name: _ratio(hits[i], hits[i] + misses[i] + false_positives(ids))
            for i, (name, ids) in enumerate(_INSTANCE_CATEGORIES.items())
        }
        return {
            "iou_class": _mean(per_class),
            "iiou_class": _mean(instance_per_class),
            "iou_category": _mean(per_category),
            "iiou_category": _mean(instance_per_category),
            "iou_per_class": per_class,
            "iiou_per_class": instance_per_class,
            "iou_per_category": per_category,
            "iiou_per_category": instance_per_category,
        }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else nan


def _mean(scores: Mapping[str, float]) -> float:
    """The mean over the scores that are defined; nan without any."""
    defined = [score for score in scores.values() if not isnan(score)]
    return sum(defined) / len(defined) if defined else nan
