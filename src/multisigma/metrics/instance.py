"""Average precision of instances, by the rules of cityscapesScripts' `evalInstanceLevelSemanticLabeling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.fields import Disparity, InstanceMap
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import InstancePrediction, Scene, boxes
from multisigma.errors import MultisigmaError
from multisigma.metrics.base import Counts, Measurement, Metric, fill, in_unit
from multisigma.metrics.counting import Ids, count_in_mask, find_ids

__all__ = ["OVERLAPS", "AveragePrecision", "Region", "average_precision", "median_distance"]

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

_RIGHT, _WRONG, _IGNORED = 1, 0, -1
_DEFINITION: Final = (
    "Average precision of instances by the rules of the Cityscapes scripts: the mean over classes and over overlaps "
    "from 50 to 95 % (AP50%: above 50 % alone). AP100m and AP50m count true instances of at least 1000 px within that "
    "distance, which is the median over their pixels with a valid disparity, at least half of all: our reading of a "
    "rule that the public scripts leave open."
)
# Key, name, region, and the overlaps of each number.
_NUMBERS: Final = (
    ("ap", "AP", 0, slice(None)),
    ("ap50", "AP50%", 0, slice(1)),
    ("ap100m", "AP100m*", 1, slice(None)),
    ("ap50m", "AP50m*", 2, slice(None)),
    ("ap50_50m", "AP50% within 50 m*", 2, slice(1)),
)


class AveragePrecision(Metric):
    """AP, AP50%, AP100m and AP50m: section 4.1 of Cordts et al. (2016), with the integration of the public script.

    Each frame is matched by itself. Of every prediction stay its confidence and, for each region and overlap, whether
    it is right, wrong or ignored.

    The public script holds the thresholds of AP100m and AP50m but not how distances are measured. Our reading: an
    instance's distance is the median of baseline * focal length / disparity over its pixels with a valid disparity, and
    at least half of its pixels must have one. Without disparity or camera nothing counts as near.

    Args:
        labels: The classes.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.names = [label.name for label in labels.instance_classes]
        self.class_ids = np.array([label.id for label in labels.instance_classes], np.int64)
        # In the map of instance ids; a single caravan or trailer has an id above 1000 and is, as in the scripts, not
        # void.
        self.void_ids = [labels.void, *(label.id for label in labels.classes if label.ignore_in_eval)]

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Match a frame's `scene["instance"].regions` with the field "instance".

        Disparity and camera tell the distances. Predictions of classes that have no instances are left out.

        Returns:
            For P predictions: `confidences` of shape (P,); `outcomes` of shape (P, 1 + regions * overlaps), each row
            the class and then the outcome for each region and overlap; and `truths`, the true instances that count, of
            shape (regions, classes).

        Raises:
            MultisigmaError: If a mask does not lie in the frame or a confidence is not finite.
        """
        result: InstancePrediction | None = scene.get("instance")
        truth = frame.get("instance", InstanceMap)
        if result is None or result.regions is None or truth is None:
            return {}
        found = find_ids(truth.ids)
        ids, pixels = found.present, found.pixels
        classes = np.where(ids < 1000, ids, ids // 1000)
        counting = self._counting(found, classes, truth.ids, frame)
        single = (ids >= 1000) & (classes == self.class_ids[:, None])  # (classes, ids)
        truths = counting.astype(np.int64) @ single.T
        predictions = [i for i in result.regions if i.class_id in self.class_ids and i.mask.any()]
        confidences = np.array([i.confidence for i in predictions], np.float64)
        if not np.isfinite(confidences).all():
            raise MultisigmaError(f"Confidences of instances should be finite. Found {confidences.tolist()}.")
        height, width = truth.shape
        intersection = np.zeros((len(predictions), len(ids)), np.int64)
        for row, i in zip(intersection, predictions, strict=True):
            under = truth.ids[i.top : i.top + i.mask.shape[0], i.left : i.left + i.mask.shape[1]]
            if min(i.top, i.left) < 0 or under.shape != i.mask.shape:
                raise MultisigmaError(
                    f"An instance's mask should lie in its frame of {height}x{width} pixels. Found "
                    f"one of {i.mask.shape[0]}x{i.mask.shape[1]} at row {i.top}, column {i.left}."
                )
            row[:] = count_in_mask(i.mask, under, found.place, len(ids))
        outcomes = np.zeros((len(predictions), 1 + len(_REGIONS) * len(OVERLAPS)), np.int8)
        if predictions:
            predicted = np.array([i.class_id for i in predictions])
            outcomes[:, 0] = (predicted[:, None] == self.class_ids).argmax(1)
            void = intersection[:, np.isin(ids, self.void_ids)].sum(1)
            matched = _match(predicted, confidences, intersection, void, ids, classes, pixels, counting)
            outcomes[:, 1:] = matched.reshape(len(predictions), -1)
        return {"confidences": confidences, "outcomes": outcomes, "truths": truths}

    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        """Return `ap`, `ap50`, `ap100m`, `ap50m` and `ap50_50m`, each with its classes; nan where nothing is true.

        Each is the mean over overlaps and over those classes that have a true instance that counts.
        """
        per_class = dict.fromkeys(self.names, nan)
        blanks = [
            Measurement(key, nan, "%", True, _DEFINITION, per_class, name=name, is_main=key == "ap")
            for key, name, *_ in _NUMBERS
        ]
        return fill(blanks, self._scores(counts, np.ones((1, len(counts)))))

    def resample(self, counts: Sequence[Counts], weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        scores = self._scores(counts, weights.astype(np.float64))
        return {key: in_unit(values, "%")[0] for key, values in scores.items()}

    def _scores(self, counts: Sequence[Counts], weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Compute each number per class for resamples of the frames; by key, shape (draws, classes)."""
        shape = (len(weights), len(_REGIONS), len(self.class_ids), len(OVERLAPS))
        precisions = np.full(shape, nan)
        if counts:
            lengths = [len(of_frame["confidences"]) for of_frame in counts]
            confidences = np.concatenate([of_frame["confidences"] for of_frame in counts])
            rows = np.concatenate([of_frame["outcomes"] for of_frame in counts])
            frames = np.repeat(np.arange(len(counts)), lengths)
            outcomes = rows[:, 1:].reshape(-1, len(_REGIONS), len(OVERLAPS))
            truths = np.tensordot(weights, np.stack([of_frame["truths"] for of_frame in counts]), 1)
            for region, index in np.argwhere(truths.any(0)):
                mine = np.flatnonzero(rows[:, 0] == index)
                for overlap in range(len(OVERLAPS)):
                    outcome = outcomes[mine, region, overlap]
                    known = mine[outcome != _IGNORED]
                    precisions[:, region, index, overlap] = average_precision(
                        confidences[known],
                        outcomes[known, region, overlap] == _RIGHT,
                        frames[known],
                        truths[:, region, index],
                        weights,
                    )
        return {key: precisions[:, region, :, overlaps].mean(2) for key, _, region, overlaps in _NUMBERS}

    def _counting(
        self, found: Ids, classes: NDArray[np.int64], instances: NDArray[np.int32], frame: Frame
    ) -> NDArray[np.bool_]:
        """For each region, which true ids, single or group, are large and near enough; shape (regions, ids)."""
        ids, pixels = found.present, found.pixels
        distances, densities = np.full(len(ids), inf), np.zeros(len(ids))
        measured = frame.get("disparity", Disparity)
        if measured is not None and frame.camera is not None:
            large = pixels >= min(region.least_pixels for region in _REGIONS if region.farthest < inf)
            around = boxes(instances, 65536)[ids]
            for index in np.flatnonzero(large & np.isin(classes, self.class_ids)):
                top, bottom, left, right = around[index]
                inside = instances[top:bottom, left:right] == ids[index]
                disparity = measured.values[top:bottom, left:right][inside]
                valid = disparity[~np.isnan(disparity)]
                densities[index] = len(valid) / pixels[index]
                if len(valid):
                    distances[index] = median_distance(valid, frame.camera)
        return np.stack(
            [
                (pixels >= region.least_pixels) & (distances <= region.farthest) & (densities >= region.least_density)
                for region in _REGIONS
            ]
        )


def average_precision(
    confidences: NDArray[np.float64],
    right: NDArray[np.bool_],
    frames: NDArray[np.int64],
    truths: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute the area under a precision-recall curve, as the Cityscapes script integrates it.

    The curve has a point at each distinct confidence and one at precision 1, recall 0, and is linear between them. This
    is neither COCO's nor PASCAL's rule.

    Args:
        confidences: Confidence of each prediction that is not ignored, shape (N,).
        right: Whether it is right, shape (N,).
        frames: Index of its frame, shape (N,).
        truths: The number of true instances in each draw, shape (draws,).
        weights: How often each frame counts in each draw, shape (draws, frames).

    Returns:
        The area in each draw, shape (draws,); nan without true instances.
    """
    # From the highest confidence down, with a point at the last prediction of each distinct one.
    order = np.argsort(-confidences, kind="stable")
    is_point = np.diff(-confidences[order], append=inf) > 0
    return _areas(right[order], is_point, frames[order], truths, weights)


@njit(cache=True)
def _areas(
    right: NDArray[np.bool_],
    is_point: NDArray[np.bool_],
    frames: NDArray[np.int64],
    truths: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    areas = np.full(len(weights), np.nan)
    for draw in range(len(weights)):
        if truths[draw] == 0:
            continue
        found, hits, area, precision, recall = 0.0, 0.0, 0.0, 1.0, 0.0
        for n in range(len(right)):
            weight = weights[draw, frames[n]]
            found += weight
            if right[n]:
                hits += weight
            if is_point[n] and found > 0:
                next_precision, next_recall = hits / found, hits / truths[draw]
                area += 0.5 * (precision + next_precision) * (next_recall - recall)
                precision, recall = next_precision, next_recall
        areas[draw] = area
    return areas


def median_distance(disparity: NDArray[np.float32], camera: Camera) -> float:
    """Median distance in metres over disparities in pixels, at least one; a disparity of 0 is infinitely far."""
    with np.errstate(divide="ignore"):
        return float(np.median(camera.baseline * camera.fx / disparity.astype(np.float64)))


def _match(
    predicted: NDArray[np.int64],
    confidences: NDArray[np.float64],
    intersection: NDArray[np.int64],
    void: NDArray[np.int64],
    ids: NDArray[np.int64],
    classes: NDArray[np.int64],
    pixels: NDArray[np.int64],
    counting: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Outcome of each of N predictions for each region and overlap; shape (N, regions, overlaps).

    Args:
        predicted: Label id of each prediction, shape (N,).
        confidences: Confidence of each prediction, shape (N,).
        intersection: Pixels that prediction and true id share, shape (N, K).
        void: Pixels of each prediction that no class owns, shape (N,).
        ids: The true ids, shape (K,).
        classes: Their label ids, shape (K,).
        pixels: Their sizes, shape (K,).
        counting: Whether it counts, for each region, shape (regions, K).
    """
    sizes = intersection.sum(1)
    same_class = predicted[:, None] == classes
    iou = np.where(same_class, intersection / (pixels + sizes[:, None] - intersection), 0.0)
    # Truths are disjoint: above one half a prediction has at most one.
    best_match = iou.argmax(1)
    hit = iou.max(1)[:, None] > OVERLAPS  # (N, overlaps)

    group = ids < 1000
    outcomes = np.full((len(sizes), len(counting), len(OVERLAPS)), _IGNORED, np.int8)
    by_confidence = np.argsort(-confidences, kind="stable")
    for region, counts in enumerate(counting):
        # A group that is too small or far is taken twice, as in the script.
        ignored = void + (intersection * same_class * (group.astype(np.int64) + ~counts)).sum(1)
        missed = ~hit & ((ignored / sizes)[:, None] <= OVERLAPS)
        outcomes[:, region][missed] = _WRONG
        matched = hit & (counts & ~group)[best_match][:, None]
        outcomes[:, region][matched] = _WRONG
        for index in range(len(OVERLAPS)):
            candidates = by_confidence[matched[by_confidence, index]]
            # Of several predictions of one truth, the surest is right.
            outcomes[candidates[np.unique(best_match[candidates], return_index=True)[1]], region, index] = _RIGHT
    return outcomes
