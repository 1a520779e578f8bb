"""Panoptic quality (Kirillov et al., 2019), by the rules of cityscapesScripts' `evalPanopticSemanticLabeling`."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import InstancePrediction, Scene, SceneInstance, SemanticPrediction
from multisigma.metrics.base import Counts, Measurement, SumMetric
from multisigma.metrics.counting import count_pairs, find_ids, ratio

__all__ = ["PanopticQuality", "panoptic_map"]

_DEFINITION: Final = (
    "Panoptic quality, by the rules of the Cityscapes scripts: PQ, the product of SQ, the mean overlap of matched "
    "segments, and RQ, the share of segments that are matched; the mean over classes that occur."
)


def panoptic_map(
    ids: NDArray[np.uint8], regions: Sequence[SceneInstance], labels: LabelSpace
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return one segment for each pixel, as the panoptic task wants it.

    A pixel goes to the surest object that covers it, of equally sure ones to the first; else to its class where that
    is stuff; else to none.

    Args:
        ids: Class id of each pixel, shape (H, W).
        regions: The objects.
        labels: The classes.

    Returns:
        Each pixel's segment, 0 for none, shape (H, W); and each segment's class id, shape (segments,).
    """
    things = {label.id for label in labels.instance_classes}
    stuff = np.zeros(256, bool)
    stuff[[label.id for label in labels.train_classes if not label.has_instances]] = True
    # Segment 0 is none. Hence segments of stuff are ids plus one.
    class_of = np.concatenate(([-1], np.arange(256), [region.class_id for region in regions])).astype(np.int64)
    segments = np.where(stuff[ids], ids.astype(np.int32) + 1, 0).astype(np.int32)
    by_confidence = sorted(enumerate(regions, 257), key=lambda entry: -entry[1].confidence)
    for segment, region in reversed(by_confidence):
        if region.class_id in things:
            height, width = region.mask.shape
            segments[region.top : region.top + height, region.left : region.left + width][region.mask] = segment
    return segments, class_of


class PanopticQuality(SumMetric):
    """PQ = SQ * RQ: the mean overlap of matched segments, and the share of segments that are matched.

    A predicted and a true segment of one class match above an intersection over union of one half, without the pixels
    whose true class is not evaluated (single caravans and trailers are among them here). An unmatched prediction
    that lies for more than half on such pixels and its class's group is not counted. Means are over classes that occur.

    Args:
        labels: The classes.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.evaluated = np.zeros(256, bool)
        self.evaluated[labels.ids_of_train_ids] = True
        things = np.array([label.has_instances for label in labels.train_classes])
        self.kinds = {"": things | ~things, "_things": things, "_stuff": ~things}

    def blanks(self) -> list[Measurement]:
        names = np.array([label.name for label in self.labels.train_classes])
        return [
            Measurement(
                key + suffix,
                nan,
                "%",
                True,
                _DEFINITION,
                dict.fromkeys(names[chosen].tolist(), nan),
                name=(key.upper() + suffix.replace("_", " ")),
                is_main=key + suffix == "pq",
            )
            for suffix, chosen in self.kinds.items()
            for key in ("pq", "sq", "rq")
        ]

    def zeros(self) -> Counts:
        classes = len(self.labels.train_classes)
        # Counts are matches, false positives, false negatives.
        return {"overlaps": np.zeros(classes), "counts": np.zeros((classes, 3), np.int64)}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Match a frame's `scene["semantic"].ids` and `scene["instance"].regions`, as segments, with "instance".

        Raises:
            MultisigmaError: If shapes differ.
        """
        semantic: SemanticPrediction | None = scene.get("semantic")
        instance: InstancePrediction | None = scene.get("instance")
        truth = frame.get("instance", InstanceMap)
        if semantic is None or instance is None or instance.regions is None or truth is None:
            return {}
        found = find_ids(truth.ids)
        segments, predicted_classes = panoptic_map(semantic.ids, instance.regions, self.labels)
        # Pixels without a segment count in the truth's size alone.
        shared = count_pairs(truth.ids, found.place, len(found.present), segments, len(predicted_classes))
        shared[:, 0] = 0
        true_ids, sizes, predicted_sizes = found.present, found.pixels, shared.sum(0)
        classes = np.where(true_ids < 1000, true_ids, true_ids // 1000)
        void = shared[~self.evaluated[classes]].sum(0)
        group = (true_ids < 1000) & np.isin(classes, [label.id for label in self.labels.instance_classes])

        same = classes[:, None] == predicted_classes
        single = self.evaluated[classes] & ~group
        union = predicted_sizes + sizes[:, None] - shared - void
        overlap = np.where(same & single[:, None], shared / np.maximum(union, 1), 0.0)
        matched = overlap > 0.5
        ignored = void + (shared * (same & group[:, None])).sum(0)
        wrong = (predicted_sizes > 0) & ~matched.any(0) & (ignored <= 0.5 * predicted_sizes)
        missed = single & ~matched.any(1)
        counts = dict(self.zeros())
        for index, label in enumerate(self.labels.train_classes):
            true, predicted = classes == label.id, predicted_classes == label.id
            counts["overlaps"][index] = overlap[true][matched[true]].sum()
            counts["counts"][index] = matched[true].sum(), (wrong & predicted).sum(), (missed & true).sum()
        return counts

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        matches, wrong, missed = np.moveaxis(totals["counts"], -1, 0)
        rq = ratio(matches, matches + 0.5 * wrong + 0.5 * missed)
        sq = np.where(matches > 0, ratio(totals["overlaps"], matches), np.where(np.isnan(rq), nan, 0.0))
        numbers = {"pq": sq * rq, "sq": sq, "rq": rq}
        return {key + suffix: of[:, chosen] for suffix, chosen in self.kinds.items() for key, of in numbers.items()}
