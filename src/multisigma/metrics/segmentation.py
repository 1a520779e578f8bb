"""Intersection over union, by the rules of cityscapesScripts' `evalPixelLevelSemanticLabeling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap, InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import Scene, SemanticPrediction
from multisigma.metrics.base import Counts, Measurement, SumMetric
from multisigma.metrics.counting import count_pairs, find_ids, ratio

__all__ = ["IoU"]

# Average size in pixels of an instance in the training set at 1024x2048, from the Cityscapes script.
_AVERAGE_SIZES: Final = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
_IOU: Final = (
    "Intersection over union, TP / (TP + FP + FN), from pixels counted over all frames together; the mean over {} "
    "that occur, as the Cityscapes scripts compute it."
)
_IIOU: Final = (
    "IoU with each true pixel weighted by its class's average instance size over its instance's size, as the "
    "Cityscapes scripts compute it: small objects count as much as large ones. The mean over {}."
)


class IoU(SumMetric):
    """IoU and instance-level IoU of classes and categories, by the rules of `evalPixelLevelSemanticLabeling`.

    Section 3.1 of Cordts et al. (2016). IoU = TP / (TP + FP + FN), from one confusion matrix over all frames. Pixels
    whose true class is not evaluated count nowhere; a predicted class that is not evaluated is a miss of the true one.
    A class that occurs neither in truth nor in prediction is nan and left out of the mean; one that is only predicted
    is 0 and counts.

    iIoU = iTP / (iTP + FP + iFN) weighs each pixel of a true instance by the class's average size over the instance's
    size. False positives have no weight, because predicted pixels belong to no instance. Groups are no instances. It is
    measured where every class with instances is one of Cityscapes', whose average sizes are known.

    Args:
        labels: The classes.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        classes, things = labels.train_classes, labels.instance_classes
        self.ids = max(labels.void, *(label.id for label in labels.classes)) + 1
        # Confusion has a row for each evaluated class; one more, for all others, is dropped.
        self.rows = np.full(self.ids, len(classes), np.int32)
        self.rows[labels.ids_of_train_ids] = np.arange(len(classes))
        categories = list(dict.fromkeys(label.category for label in classes))
        self.categories = categories if len(categories) < len(classes) else []
        self.in_category = np.array([[c.category == name for name in self.categories] for c in classes], np.int64)
        self.things = things if all(label.name in _AVERAGE_SIZES for label in things) else ()
        # A category has instances if all its classes do, those that are not evaluated (caravan, trailer) included.
        members = {
            name: [label for label in labels.classes if label.category == name and label.id >= 0] for name in categories
        }
        self.thing_categories = {
            name: [label.id for label in found]
            for name, found in members.items()
            if self.things and name in self.categories and all(label.has_instances for label in found)
        }

    def blanks(self) -> list[Measurement]:
        def blank(key: str, name: str, definition: str, over: Sequence[str], is_main: bool = False) -> Measurement:
            return Measurement(key, nan, "%", True, definition, dict.fromkeys(over, nan), name=name, is_main=is_main)

        classes, things = ([label.name for label in labels] for labels in (self.labels.train_classes, self.things))
        found = [blank("iou_class", "IoU class", _IOU.format("classes"), classes, True)]
        if things:
            found.append(blank("iiou_class", "iIoU class", _IIOU.format("classes with instances"), things))
        if self.categories:
            found.append(blank("iou_category", "IoU category", _IOU.format("categories"), self.categories))
        if self.thing_categories:
            definition = _IIOU.format("categories with instances")
            found.append(blank("iiou_category", "iIoU category", definition, list(self.thing_categories)))
        return found

    def zeros(self) -> Counts:
        counts: dict[str, NDArray[Any]] = {"confusion": np.zeros((len(self.labels.train_classes), self.ids), np.int64)}
        for kind, length in (("class", len(self.things)), ("category", len(self.thing_categories))):
            counts |= {f"{kind}_{what}": np.zeros(length) for what in ("hits", "misses")}
        return counts

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene["semantic"].ids` and the fields "semantic" and "instance".

        Without instance ids the frame counts for the IoU alone.

        Raises:
            MultisigmaError: If shapes differ or an id is unknown.
        """
        result: SemanticPrediction | None = scene.get("semantic")
        truth = frame.get("semantic", ClassMap)
        if result is None or truth is None:
            return {}
        ids = result.ids
        counts = dict(self.zeros())
        evaluated = len(self.labels.train_classes)
        counts["confusion"] = count_pairs(truth.ids, self.rows, evaluated + 1, ids, self.ids)[:evaluated]
        instances = frame.get("instance", InstanceMap)
        if instances is None or not self.things:
            return counts
        found = find_ids(instances.ids)
        predicted = count_pairs(instances.ids, found.place, len(found.present), ids, self.ids)  # (instances, ids)
        categories = list(self.thing_categories)
        for index, label in enumerate(self.things):
            mine = (found.present > 1000) & (found.present // 1000 == label.id)
            sizes = found.pixels[mine]
            weights = _AVERAGE_SIZES[label.name] / sizes
            hits = predicted[mine, label.id]
            counts["class_hits"][index] = (hits * weights).sum()
            counts["class_misses"][index] = ((sizes - hits) * weights).sum()
            if label.category in categories:
                place = categories.index(label.category)
                hits = predicted[mine][:, self.thing_categories[label.category]].sum(1)
                counts["category_hits"][place] += (hits * weights).sum()
                counts["category_misses"][place] += ((sizes - hits) * weights).sum()
        return counts

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        confusion = totals["confusion"]  # (draws, classes, ids)
        pixels = confusion.sum(2)
        of_classes = confusion[:, :, self.labels.ids_of_train_ids]  # (draws, classes, classes)
        hits = of_classes.diagonal(axis1=1, axis2=2)
        wrong = of_classes.sum(1) - hits
        scores = {"iou_class": ratio(hits, pixels + wrong)}
        # Among pixels of evaluated classes.
        by_category = self.in_category.T @ of_classes @ self.in_category  # (draws, categories, categories)
        category_hits = by_category.diagonal(axis1=1, axis2=2)
        category_wrong = by_category.sum(1) - category_hits
        scores["iou_category"] = ratio(category_hits, pixels @ self.in_category + category_wrong)

        def weighted(kind: str, false_positives: NDArray[Any]) -> NDArray[np.float64]:
            hits, misses = totals[f"{kind}_hits"], totals[f"{kind}_misses"]
            return ratio(hits, hits + misses + false_positives)

        scores["iiou_class"] = weighted("class", wrong[:, [label.train_id for label in self.things]])
        false_positives = np.zeros_like(totals["category_hits"])
        for place, (name, ids) in enumerate(self.thing_categories.items()):
            others = ~self.in_category[:, self.categories.index(name)].astype(bool)
            false_positives[:, place] = confusion[:, others][:, :, ids].sum((1, 2))
        scores["iiou_category"] = weighted("category", false_positives)
        return scores

    def details(self, totals: Counts) -> dict[str, Mapping[str, Any]]:
        """Return the confusion matrix: pixels by true class (rows) and predicted class, and other predictions."""
        confusion = totals["confusion"]
        of_classes = confusion[:, self.labels.ids_of_train_ids]
        return {
            "iou_class": {
                "classes": [label.name for label in self.labels.train_classes],
                "confusion": of_classes.tolist(),
                "predicted_other": (confusion.sum(1) - of_classes.sum(1)).tolist(),
            }
        }
