"""Panoptic quality (Kirillov et al., 2019), by the rules of cityscapesScripts' `evalPanopticSemanticLabeling`."""

from collections.abc import Sequence
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.frame import Frame
from multisigma.datasets.labels import LABELS, TRAIN_CLASSES
from multisigma.datasets.scene import Scene, SceneInstance
from multisigma.metrics.counting import count_pairs, exactly, find_ids, value

_THINGS = frozenset(label.id for label in TRAIN_CLASSES if label.has_instances)
_IS_STUFF = np.zeros(256, bool)
_IS_STUFF[[label.id for label in TRAIN_CLASSES if not label.has_instances]] = True
_IS_EVALUATED = np.zeros(256, bool)
_IS_EVALUATED[[label.id for label in TRAIN_CLASSES]] = True


def panoptic_map(
    labels: NDArray[np.uint8], instances: Sequence[SceneInstance]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """One segment for each pixel, as the panoptic task wants it.

    A pixel goes to the surest object that covers it, of equally sure ones to the first; else to its label where that
    is stuff; else to none.

    Args:
        labels: Raw label id of each pixel, shape (H, W).
        instances: The objects.

    Returns:
        Each pixel's segment, 0 for none, shape (H, W); and each segment's label id, shape (segments,).
    """
    class_of = np.concatenate((np.arange(len(LABELS)), [instance.class_id for instance in instances])).astype(np.int64)
    segments = np.where(_IS_STUFF[labels], labels, 0).astype(np.int32)
    surest_first = sorted(enumerate(instances, len(LABELS)), key=lambda entry: -entry[1].confidence)
    for segment, instance in reversed(surest_first):
        if instance.class_id in _THINGS:
            height, width = instance.mask.shape
            segments[instance.top : instance.top + height, instance.left : instance.left + width][instance.mask] = (
                segment
            )
    return segments, class_of


class PanopticQuality(Metric):
    """PQ = SQ * RQ: the mean overlap of matched segments, and the share of segments that are matched.

    A predicted and a true segment of one class match above an intersection over union of one half, without the pixels
    whose true label evaluation ignores (single caravans and trailers are among them here). An unmatched prediction
    that lies for more than half on such pixels and its class's group is not counted. Means are over classes that occur.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    overlaps: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("overlaps", exactly(np.zeros(len(TRAIN_CLASSES))), dist_reduce_fx="sum")
        # Matches, false positives, false negatives.
        self.add_state("counts", torch.zeros((len(TRAIN_CLASSES), 3), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scene: Scene, truth: Frame) -> None:
        """Match a frame; nothing happens if the scene lacks labels or instances, or the truth instances.

        Args:
            scene: Labels and instances, which `panoptic_map` makes into segments.
            truth: Instance ids.

        Raises:
            MultisigmaError: If shapes differ.
        """
        instances = truth.get("instance", InstanceMap)
        if scene.labels is None or scene.instances is None or instances is None:
            return
        found = find_ids(instances.ids)
        segments, predicted_classes = panoptic_map(scene.labels, scene.instances)
        # Pixels without a segment count in the truth's size alone.
        shared = count_pairs(instances.ids, found.place, len(found.present), segments, len(predicted_classes))
        shared[:, 0] = 0
        ids, sizes, predicted_sizes = found.present, found.pixels, shared.sum(0)
        classes = np.where(ids < 1000, ids, ids // 1000)
        void = shared[~_IS_EVALUATED[classes]].sum(0)
        group = (ids < 1000) & np.isin(classes, list(_THINGS))

        same = classes[:, None] == predicted_classes
        single = _IS_EVALUATED[classes] & ~group
        union = predicted_sizes + sizes[:, None] - shared - void
        overlap = np.where(same & single[:, None], shared / np.maximum(union, 1), 0.0)
        matched = overlap > 0.5
        ignored = void + (shared * (same & group[:, None])).sum(0)
        wrong = (predicted_sizes > 0) & ~matched.any(0) & (ignored <= 0.5 * predicted_sizes)
        missed = single & ~matched.any(1)
        for index, label in enumerate(TRAIN_CLASSES):
            true, guessed = classes == label.id, predicted_classes == label.id
            self.overlaps[index] += exactly(overlap[true][matched[true]].sum())
            counts = [matched[true].sum(), (wrong & guessed).sum(), (missed & true).sum()]
            self.counts[index] += torch.tensor(counts)

    def compute(self) -> dict[str, float | dict[str, float]]:
        """Give `pq`, `sq`, `rq`, each with `_things` and `_stuff` too, and `pq_per_class`; nan where undefined."""
        matches, wrong, missed = self.counts.cpu().numpy().T
        with np.errstate(invalid="ignore", divide="ignore"):
            rq = matches / (matches + 0.5 * wrong + 0.5 * missed)
            sq = np.where(matches > 0, value(self.overlaps) / matches, np.where(np.isnan(rq), nan, 0.0))
        pq = sq * rq
        things = np.array([label.has_instances for label in TRAIN_CLASSES])
        numbers: dict[str, float | dict[str, float]] = {}
        for suffix, chosen in (("", things | ~things), ("_things", things), ("_stuff", ~things)):
            for key, values in (("pq", pq), ("sq", sq), ("rq", rq)):
                defined = values[chosen & ~np.isnan(values)]
                numbers[key + suffix] = float(defined.mean()) if defined.size else nan
        return numbers | {"pq_per_class": {label.name: float(pq[i]) for i, label in enumerate(TRAIN_CLASSES)}}
