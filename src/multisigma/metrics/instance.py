"""Average precision of instances, by the rules of cityscapesScripts' `evalInstanceLevelSemanticLabeling`."""

from dataclasses import dataclass
from math import inf, nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from multisigma.datasets.fields import Disparity, InstanceMap
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.labels import INSTANCE_CLASSES, LABELS
from multisigma.datasets.scene import Scene, boxes
from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import Ids, count_in_mask, find_ids

OVERLAPS = np.arange(0.5, 1.0, 0.05)
"""A match has an intersection over union strictly above one of these; bit for bit those of the scripts."""


@dataclass(frozen=True, slots=True)
class Region:
    """Which true instances count; predictions of the others are neither right nor wrong.

    Args:
        least_pixels: Smallest size in pixels.
        farthest: Largest median distance in metres.
        least_density: Smallest share of pixels with a valid disparity.
    """

    least_pixels: int
    farthest: float
    least_density: float


EVERYWHERE = Region(100, inf, -inf)
WITHIN_100_M = Region(1000, 100.0, 0.5)
WITHIN_50_M = Region(1000, 50.0, 0.5)
_REGIONS = (EVERYWHERE, WITHIN_100_M, WITHIN_50_M)

_CLASS_IDS = np.array([label.id for label in INSTANCE_CLASSES])
_NAMES = tuple(label.name for label in INSTANCE_CLASSES)
# In the map of instance ids; a single caravan or trailer has an id above 1000 and is, as in the scripts, not void.
_VOID_IDS = np.array([label.id for label in LABELS if label.ignore_in_eval])

_RIGHT, _WRONG, _IGNORED = 1, 0, -1


class AveragePrecision(Metric):
    """AP, AP50%, AP100m and AP50m: section 4.1 of Cordts et al. (2016), with the integration of the public script.

    Each frame is matched when it comes in; of every prediction stay its confidence and, for each region and overlap,
    whether it is right, wrong or ignored.

    The public script holds the thresholds of AP100m and AP50m but not how distances are measured. Our reading: an
    instance's distance is the median of baseline * focal length / disparity over its pixels with a valid disparity, and
    at least half of its pixels must have one. Without disparity or camera nothing counts as near.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    confidences: list[Tensor]
    outcomes: list[Tensor]
    truths: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("confidences", [], dist_reduce_fx="cat")
        # Each row a prediction: its class, then an outcome for each region and overlap.
        self.add_state("outcomes", [], dist_reduce_fx="cat")
        shape = (len(_REGIONS), len(_CLASS_IDS))
        self.add_state("truths", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.reset()

    def reset(self) -> None:
        super().reset()
        # Gathering over processes wants tensors of the same kind from each of them, one without frames too.
        self.confidences = [torch.zeros(0, dtype=torch.float64)]
        self.outcomes = [torch.zeros((0, 1 + len(_REGIONS) * len(OVERLAPS)), dtype=torch.int8)]

    def update(self, scene: Scene, truth: Frame) -> None:
        """Match a frame; nothing happens if scene or truth have no instances.

        Args:
            scene: The predicted objects. Those of other classes than the eight of Cityscapes are left out.
            truth: Instance ids; disparity and camera for the distances.

        Raises:
            MultisigmaError: If a mask does not lie in the frame or a confidence is not finite.
        """
        instances = truth.get("instance", InstanceMap)
        if scene.instances is None or instances is None:
            return
        found = find_ids(instances.ids)
        ids, pixels = found.present, found.pixels
        classes = np.where(ids < 1000, ids, ids // 1000)
        counting = _counting(found, classes, truth)
        for index, class_id in enumerate(_CLASS_IDS):
            of_class = (classes == class_id) & (ids >= 1000)
            self.truths[:, index] += torch.from_numpy(counting[:, of_class].sum(1))

        predictions = [i for i in scene.instances if i.class_id in _CLASS_IDS and i.mask.any()]
        if not predictions:
            return
        confidences = np.array([i.confidence for i in predictions])
        if not np.isfinite(confidences).all():
            raise MultisigmaError(f"Confidences of instances should be finite. Found {confidences.tolist()}.")
        height, width = instances.shape
        meet = np.zeros((len(predictions), len(ids)), np.int64)
        for row, i in zip(meet, predictions, strict=True):
            under = instances.ids[i.top : i.top + i.mask.shape[0], i.left : i.left + i.mask.shape[1]]
            if min(i.top, i.left) < 0 or under.shape != i.mask.shape:
                raise MultisigmaError(
                    f"An instance's mask should lie in its frame of {height}x{width} pixels. Found "
                    f"one of {i.mask.shape[0]}x{i.mask.shape[1]} at row {i.top}, column {i.left}."
                )
            row[:] = count_in_mask(i.mask, under, found.place, len(ids))
        predicted = np.array([i.class_id for i in predictions])
        outcomes = _match(predicted, confidences, meet, ids, classes, pixels, counting)
        self.confidences.append(torch.from_numpy(confidences))
        rows = np.column_stack((np.searchsorted(_CLASS_IDS, predicted), outcomes.reshape(len(predictions), -1)))
        self.outcomes.append(torch.from_numpy(rows.astype(np.int8)))

    def compute(self) -> dict[str, float | dict[str, float]]:
        """Give `ap`, `ap50`, `ap100m`, `ap50m`, `ap50_50m`, and each per class by name; nan where nothing is true.

        The mean of several classes and overlaps is over those classes that have a true instance that counts.
        """
        confidences = dim_zero_cat(self.confidences).cpu().numpy()
        rows = dim_zero_cat(self.outcomes).cpu().numpy()
        outcomes = rows[:, 1:].reshape(-1, len(_REGIONS), len(OVERLAPS))
        truths = self.truths.cpu().numpy()
        precisions = np.full((len(_REGIONS), len(_CLASS_IDS), len(OVERLAPS)), nan)
        for region, index in np.argwhere(truths):
            mine = rows[:, 0] == index
            for overlap in range(len(OVERLAPS)):
                outcome = outcomes[mine, region, overlap]
                known = outcome != _IGNORED
                precisions[region, index, overlap] = average_precision(
                    confidences[mine][known], outcome[known] == _RIGHT, int(truths[region, index])
                )
        everywhere, within_100_m, within_50_m = precisions
        numbers: dict[str, float | dict[str, float]] = {}
        for key, values in (
            ("ap", everywhere),
            ("ap50", everywhere[:, :1]),
            ("ap100m", within_100_m),
            ("ap50m", within_50_m),
            ("ap50_50m", within_50_m[:, :1]),
        ):
            defined = values[~np.isnan(values)]
            numbers[key] = float(defined.mean()) if defined.size else nan
            numbers[f"{key}_per_class"] = dict(zip(_NAMES, values.mean(1).tolist(), strict=True))
        return numbers


def average_precision(confidences: NDArray[np.float64], right: NDArray[np.bool_], truths: int) -> float:
    """The area under a precision-recall curve, as the Cityscapes script integrates it.

    The curve has a point at each distinct confidence and one at precision 1, recall 0; each point's precision spans
    half the way to its neighbours on both sides. This is neither COCO's nor PASCAL's rule.

    Args:
        confidences: Confidence of each prediction that is not ignored, shape (N,).
        right: Whether it is right, shape (N,).
        truths: The number of true instances, at least one.
    """
    if not len(confidences):
        return 0.0
    # From the highest confidence down; at the last prediction of each distinct confidence.
    order = np.argsort(-confidences, kind="stable")
    last = np.flatnonzero(np.diff(-confidences[order], append=inf))
    hits = np.cumsum(right[order])[last]
    precision = np.concatenate(([1.0], hits / (last + 1)))
    recall = np.concatenate(([0.0], hits / truths))
    # The curve stays where it is before its first point and after its last.
    before, after = np.concatenate((recall[:1], recall[:-1])), np.concatenate((recall[1:], recall[-1:]))
    return float(precision @ (0.5 * (after - before)))


def median_distance(disparity: NDArray[np.float32], camera: Camera) -> float:
    """Median distance in metres over disparities in pixels, at least one; a disparity of 0 is infinitely far."""
    with np.errstate(divide="ignore"):
        return float(np.median(camera.baseline * camera.fx / disparity.astype(np.float64)))


def _counting(found: Ids, classes: NDArray[np.int64], truth: Frame) -> NDArray[np.bool_]:
    """For each region, which true ids, single or group, are large and near enough; shape (regions, ids)."""
    ids, pixels = found.present, found.pixels
    distances, densities = np.full(len(ids), inf), np.zeros(len(ids))
    instances, disparities = truth.get("instance", InstanceMap), truth.get("disparity", Disparity)
    if instances is not None and disparities is not None and truth.camera is not None:
        large = pixels >= min(region.least_pixels for region in _REGIONS if region.farthest < inf)
        measured = np.flatnonzero(large & np.isin(classes, _CLASS_IDS))
        around = boxes(instances.ids, 65536)[ids]
        for index in measured:
            top, bottom, left, right = around[index]
            inside = instances.ids[top:bottom, left:right] == ids[index]
            disparity = disparities.values[top:bottom, left:right][inside]
            valid = disparity[~np.isnan(disparity)]
            densities[index] = len(valid) / pixels[index]
            if len(valid):
                distances[index] = median_distance(valid, truth.camera)
    return np.stack(
        [
            (pixels >= region.least_pixels) & (distances <= region.farthest) & (densities >= region.least_density)
            for region in _REGIONS
        ]
    )


def _match(
    predicted: NDArray[np.int64],
    confidences: NDArray[np.float64],
    meet: NDArray[np.int64],
    ids: NDArray[np.int64],
    classes: NDArray[np.int64],
    pixels: NDArray[np.int64],
    counting: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Outcome of each of N predictions for each region and overlap; shape (N, regions, overlaps).

    Args:
        predicted: Label id of each prediction, shape (N,).
        confidences: Confidence of each prediction, shape (N,).
        meet: Pixels that prediction and true id share, shape (N, K).
        ids: The true ids, shape (K,).
        classes: Their label ids, shape (K,).
        pixels: Their sizes, shape (K,).
        counting: From `_counting`, shape (regions, K).
    """
    sizes = meet.sum(1)
    same_class = predicted[:, None] == classes
    overlap = np.where(same_class, meet / (pixels + sizes[:, None] - meet), 0.0)
    # Truths are disjoint: above one half a prediction has at most one.
    partner = overlap.argmax(1)
    hit = overlap.max(1)[:, None] > OVERLAPS  # (N, overlaps)

    void = meet[:, np.isin(ids, _VOID_IDS)].sum(1)
    group = ids < 1000
    outcomes = np.full((len(sizes), len(counting), len(OVERLAPS)), _IGNORED, np.int8)
    surest_first = np.argsort(-confidences, kind="stable")
    for region, counts in enumerate(counting):
        # A group that is too small or far is taken twice, as in the script.
        ignored = void + (meet * same_class * (group.astype(np.int64) + ~counts)).sum(1)
        missed = ~hit & ((ignored / sizes)[:, None] <= OVERLAPS)
        outcomes[:, region][missed] = _WRONG
        matched = hit & (counts & ~group)[partner][:, None]
        outcomes[:, region][matched] = _WRONG
        for index in range(len(OVERLAPS)):
            candidates = surest_first[matched[surest_first, index]]
            # Of several predictions of one truth, the surest is right.
            outcomes[candidates[np.unique(partner[candidates], return_index=True)[1]], region, index] = _RIGHT
    return outcomes
