"""Compare methods and settings that turn votes into instances, on frames whose votes have known errors.

python -m multisigma.experiments.instances [--table methods|paper|settings] [--frames 50] [--jobs 2] [--seed 1]
python -m multisigma.experiments.instances --run RUN ... --data ROOT ... [--table methods|paper|settings]

The first command generates street frames of 1024x2048. Each method receives the true semantic map, and the true vectors
plus an error of one of the kinds in `ERRORS`. With `--run`, the vectors are instead those that trained networks predict
for the validation frames of a data root.

Scores are pooled over the eight instance classes. True instances below 100 pixels at 1024x2048 are not counted: missing
one is no error, and neither is finding one. Only "PQ, all sizes" counts every one. Intervals are 95 %, by bootstrap
over frames.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, HDBSCAN, MeanShift
from sklearn.metrics import pairwise_distances_argmin

from multisigma.datasets.fields import InstanceMap
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.module import WholeFrames
from multisigma.datasets.open import open_dataset
from multisigma.errors import MultisigmaError
from multisigma.instances import VoteSettings, instances_from_votes
from multisigma.synthetic import StreetSettings, make_labels
from multisigma.training.environment import describe_environment
from multisigma.training.loaders import make_targets
from multisigma.training.run_folder import load_module

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASS_IDS = [label.id for label in CITYSCAPES.instance_classes]
SUBSAMPLE = 1000
"""Number of votes of a class that methods of quadratic time receive."""
CUTS = (2.0, 3.0, 4.0, 6.0)
"""Depths of the cuts that are compared, pixels."""
BOOTSTRAPS = 1000
AP_THRESHOLDS = np.arange(0.5, 1.0, 0.05)


@dataclass(frozen=True)
class GroundTruth:
    """The P pixels of a frame's K instances, in raster order.

    Args:
        instances: Cityscapes instance ids, 0 outside the instances of the eight classes; shape (H, W).
        x: Column of each pixel; shape (P,).
        y: Row of each pixel; shape (P,).
        instance_ids: Cityscapes id of each instance; shape (K,).
        index: Index of each pixel's instance in `instance_ids`; shape (P,).
        vectors: Vector (x, y) from each pixel to the centroid of its instance, pixels; shape (P, 2).
    """

    instances: Ints
    x: Ints
    y: Ints
    instance_ids: Ints
    index: Ints
    vectors: Floats

    @classmethod
    def from_map(cls, instance_map: NDArray[np.integer]) -> GroundTruth:
        """Collect the instances of a Cityscapes instance map, shape (H, W)."""
        is_instance = (instance_map >= 1000) & np.isin(instance_map // 1000, CLASS_IDS)
        instances = np.where(is_instance, instance_map, 0).astype(np.int64)
        y, x = np.nonzero(instances)
        instance_ids, index = np.unique(instances[y, x], return_inverse=True)
        sizes = np.bincount(index, minlength=len(instance_ids))
        centres = np.stack([np.bincount(index, at, len(instance_ids)) / sizes for at in (x, y)], axis=1)
        return cls(instances, x, y, instance_ids, index, centres[index] - np.stack((x, y), axis=1))


# Errors of the votes. Each function returns the vectors of a frame with an error added, shape (P, 2).


def constant_error(gt: GroundTruth, rng: np.random.Generator, spread: float) -> Floats:
    """Add normal noise of `spread` pixels to each component, independent between pixels."""
    return gt.vectors + rng.normal(0, spread, gt.vectors.shape)


def proportional_error(gt: GroundTruth, rng: np.random.Generator, share: float) -> Floats:
    """Add normal noise of a share of the vector's length to each component, independent between pixels."""
    return gt.vectors + rng.normal(0, share, gt.vectors.shape) * _lengths(gt.vectors)


def smooth_error(gt: GroundTruth, rng: np.random.Generator, share: float) -> Floats:
    """Add noise of a share of the vector's length that varies over some 16 pixels, and half a pixel of white noise."""
    fields = [cv2.GaussianBlur(rng.standard_normal(gt.instances.shape, dtype=np.float32), (0, 0), 16) for _ in range(2)]
    error = np.stack([field[gt.y, gt.x] / field.std() for field in fields], axis=1)
    return gt.vectors + share * error * _lengths(gt.vectors) + rng.normal(0, 0.5, error.shape)


def blur_error(gt: GroundTruth, rng: np.random.Generator, blur: float) -> Floats:
    """Blur the vectors across the borders between instances of a class, and add 5 % of smooth noise.

    Near such borders, votes fall between the two centres.
    """
    vectors = gt.vectors.copy()
    for class_id in np.unique(gt.instance_ids // 1000):
        of_class = gt.instance_ids[gt.index] // 1000 == class_id
        y, x = gt.y[of_class], gt.x[of_class]
        field = np.zeros((*gt.instances.shape, 3), dtype=np.float32)
        field[y, x] = np.column_stack((gt.vectors[of_class], np.ones(len(y))))
        blurred = cv2.GaussianBlur(field, (0, 0), blur)[y, x]
        vectors[of_class] = blurred[:, :2] / blurred[:, 2:]
    return smooth_error(replace(gt, vectors=vectors), rng, 0.05)


def _lengths(vectors: Floats) -> Floats:
    return np.hypot(vectors[:, 0], vectors[:, 1])[:, None]


ERRORS: dict[str, Callable[[GroundTruth, np.random.Generator], Floats]] = {
    **{f"{pixels} px": partial(constant_error, spread=pixels) for pixels in (3, 5, 10)},
    **{f"{share} % of the length": partial(proportional_error, share=share / 100) for share in (5, 10, 15)},
    **{f"smooth, {share} %": partial(smooth_error, share=share / 100) for share in (5, 10, 15)},
    **{f"between neighbours, {blur} px": partial(blur_error, blur=blur) for blur in (4, 8)},
}

# Methods. Each function returns the instance of every pixel, numbered from 1, or 0 for none, shape (P,), and the
# confidence of each instance.

Method = Callable[[GroundTruth, Floats], tuple[Ints, Floats]]


def from_votes(gt: GroundTruth, vectors: Floats, settings: VoteSettings, ranked: bool = True) -> tuple[Ints, Floats]:
    """Apply `instances_from_votes`; the confidence is the agreement of the votes, or 1 if not `ranked`."""
    field = np.zeros((2, *gt.instances.shape), dtype=np.float32)
    field[:, gt.y, gt.x] = vectors.T
    found = instances_from_votes(field, gt.instances // 1000, CLASS_IDS, settings=settings)
    confidence = found.confidence if ranked else np.ones(len(found.confidence))
    return found.ids[gt.y, gt.x].astype(np.int64), confidence


def from_centres(
    gt: GroundTruth, vectors: Floats, find_centres: Callable[[Floats, int], Floats], min_pixels: int
) -> tuple[Ints, Floats]:
    """Assign every vote to the nearest of the centres that `find_centres` finds among the votes of its class."""
    ids = np.zeros(len(vectors), dtype=np.int64)
    count = 0
    points = vectors + np.stack((gt.x, gt.y), axis=1)
    classes = gt.instance_ids[gt.index] // 1000
    for class_id in np.unique(classes):
        of_class = np.flatnonzero(classes == class_id)
        votes = points[of_class]
        centres = find_centres(votes, int(class_id))
        if not len(centres):
            continue
        members = pairwise_distances_argmin(votes, centres)
        kept = np.bincount(members, minlength=len(centres)) >= min_pixels
        if kept.any():
            ids[of_class] = 1 + count + pairwise_distances_argmin(votes, centres[kept])
            count += int(kept.sum())
    return ids, np.ones(count)


def true_centres(gt: GroundTruth, _points: Floats, class_id: int) -> Floats:
    """Return the true centroids of a class: the upper bound of methods that assign votes to the nearest centre."""
    chosen = np.isin(gt.index, np.flatnonzero(gt.instance_ids // 1000 == class_id))
    index, positions = gt.index[chosen], np.flatnonzero(chosen)
    first = positions[np.unique(index, return_index=True)[1]]
    return np.stack((gt.x, gt.y), axis=1)[first] + gt.vectors[first]


def dbscan_centres(points: Floats, _class_id: int, eps: float, min_samples: int) -> Floats:
    """Run DBSCAN on votes that are pooled on a 1-pixel grid, with multiplicities."""
    cells, weights = np.unique(np.rint(points), axis=0, return_counts=True)
    labels = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(cells, sample_weight=weights)
    return _means(cells, labels, weights)


def hdbscan_centres(points: Floats, _class_id: int, min_samples: int) -> Floats:
    """Run HDBSCAN on a random subsample; `min_samples` is scaled by the share of votes in it."""
    chosen, share = _subsample(points)
    size = max(round(min_samples * share), 5)
    if len(chosen) <= size:
        return np.empty((0, 2))
    model = HDBSCAN(min_cluster_size=size, min_samples=size, allow_single_cluster=True, copy=True)
    return _means(chosen, model.fit_predict(chosen), np.ones(len(chosen)))


def mean_shift_centres(points: Floats, _class_id: int, bandwidth: float) -> Floats:
    """Run mean shift on a random subsample, with seeds on a grid of the bandwidth."""
    chosen, _ = _subsample(points)
    model = MeanShift(bandwidth=bandwidth, bin_seeding=True, max_iter=50)
    return _means(chosen, model.fit_predict(chosen), np.ones(len(chosen)))


def heat_map_centres(points: Floats, _class_id: int, spread: float, min_votes: float) -> Floats:
    """Find peaks of the blurred histogram of the votes by non-maximum suppression, as Panoptic-DeepLab does."""
    corner = np.floor(points.min(axis=0)) - 1
    size = np.minimum(np.ceil(points.max(axis=0) - corner).astype(int) + 2, 8192)
    cells = np.clip(np.rint(points - corner).astype(int), 0, size - 1)
    heat = np.bincount(cells[:, 1] * size[0] + cells[:, 0], minlength=size[0] * size[1]).reshape(size[1], size[0])
    blurred = cv2.GaussianBlur(heat.astype(np.float32), (0, 0), spread, borderType=cv2.BORDER_CONSTANT)
    window = 2 * round(2 * spread) + 1
    peaks = (blurred == cv2.dilate(blurred, np.ones((window, window), np.uint8))) & (
        blurred * 2 * np.pi * spread**2 >= min_votes
    )
    y, x = np.nonzero(peaks)
    return np.stack((x, y), axis=1) + corner


def _subsample(points: Floats) -> tuple[Floats, float]:
    if len(points) <= SUBSAMPLE:
        return points, 1.0
    chosen = np.random.default_rng(0).choice(len(points), SUBSAMPLE, replace=False)
    return points[np.sort(chosen)], SUBSAMPLE / len(points)


def _means(points: Floats, labels: Ints, weights: NDArray[Any]) -> Floats:
    inside = labels >= 0
    total = np.bincount(labels[inside], weights[inside])
    sums = np.stack([np.bincount(labels[inside], (weights * points[:, axis])[inside]) for axis in range(2)], axis=1)
    # Mean shift may return a centre that is the nearest of no point.
    used = total > 0
    return sums[used] / total[used, None]


def methods(height: int) -> dict[str, Method]:
    """Return the methods to compare for frames of `height` pixels, with settings chosen on frames of another seed."""
    default = VoteSettings.for_height(height)
    nearest = replace(default, assignment="nearest")
    cut = {depth: replace(nearest, extraction="cut", cut=depth) for depth in CUTS}
    min_pixels, samples = VoteSettings.paper(height).min_pixels, default.min_samples
    centres: dict[str, Callable[[Floats, int], Floats]] = {
        "DBSCAN, 4 px": partial(dbscan_centres, eps=4, min_samples=samples),
        "HDBSCAN": partial(hdbscan_centres, min_samples=samples),
        "mean shift, 15 px": partial(mean_shift_centres, bandwidth=15),
        **{f"heat map, {s} px": partial(heat_map_centres, spread=s, min_votes=min_pixels) for s in (3, 6, 10)},
    }
    return {
        "tree": partial(from_votes, settings=default),
        "paper": partial(from_votes, settings=VoteSettings.paper(height)),
        "tree, nearest": partial(from_votes, settings=nearest),
        "tree, not ranked": partial(from_votes, settings=default, ranked=False),
        f"tree, {'no ' if default.small else ''}small instances": partial(
            from_votes, settings=replace(default, small=not default.small)
        ),
        "tree, strips kept": partial(from_votes, settings=replace(default, drop_strips=False)),
        "tree, 2 px grid": partial(from_votes, settings=replace(default, grid=2 * default.grid)),
        **{f"cut at {depth:g} px": partial(from_votes, settings=chosen) for depth, chosen in cut.items()},
        **{
            f"cut at {depth:g} px, near": partial(from_votes, settings=replace(cut[depth], assignment="near"))
            for depth in (3.0, 4.0)
        },
        **{name: partial(from_centres, find_centres=find, min_pixels=min_pixels) for name, find in centres.items()},
        "true centres": lambda gt, vectors: from_centres(gt, vectors, partial(true_centres, gt), 1),
    }


def paper_variants(height: int) -> dict[str, Method]:
    """Return the default and the paper's way for frames of `height` pixels, and variants that lie between the two."""
    ours, paper = VoteSettings.for_height(height), VoteSettings.paper(height)
    chosen = {
        "ours": ours,
        "ours, all classes together": replace(ours, per_class=False),
        "paper, each class by itself": replace(paper, per_class=True),
        "paper": paper,
        **{f"paper, cut at {depth:g} px": replace(paper, cut=depth) for depth in CUTS},
    }
    return {name: partial(from_votes, settings=settings) for name, settings in chosen.items()}


def settings_around(height: int) -> dict[str, Method]:
    """Return the default for frames of `height` pixels, and variants of it with few settings changed."""
    default = VoteSettings.for_height(height)
    changes: list[dict[str, Any]] = [
        {},
        *({"min_samples": k} for k in (20, 50, 200)),
        *({"max_eps": e} for e in (5.0, 10.0, 100.0)),
        *({"contrast": c} for c in (0.5, 0.6, 0.85)),
        *({"slope": s} for s in (0.25, 0.5, 2.0)),
        *({"grid": g} for g in (0.0, 0.5, 2.0, 4.0)),
        *({"min_pixels": m} for m in (5, 30, 100)),
        *({"assignment": a} for a in ("nearest", "noise", "clusters")),
        *({"extraction": "cut", "cut": c} for c in (1.0, 3.0, 10.0)),
        *({"extraction": "cut", "cut": c, "min_samples": 50} for c in (1.0, 2.0, 3.0, 4.0)),
        *({"extraction": "cut", "cut": 3.0, "assignment": a} for a in ("nearest", "noise", "clusters")),
        *({"extraction": "xi", "xi": x, "grid": 0.0} for x in (0.02, 0.05, 0.2)),
    ]
    return {
        ", ".join(f"{k} {v}" for k, v in change.items()) or "default": partial(
            from_votes, settings=replace(default, **change)
        )
        for change in changes
    }


TABLES: dict[str, Callable[[int], dict[str, Method]]] = {
    "methods": methods,
    "paper": paper_variants,
    "settings": settings_around,
}


@dataclass(frozen=True)
class Score:
    """Result of a method on one frame.

    Args:
        counts: True positives at IoU 0.5, the sum of their IoU, false positives, false negatives; shape (4,).
        all_counts: The same with true instances of every size.
        predictions: Class, confidence, and IoU with the best true instance, of each prediction that counts; shape
            (N, 3).
        num_gt: Number of true instances by class.
        seconds: Processor time.
    """

    counts: Floats
    all_counts: Floats
    predictions: Floats
    num_gt: dict[int, int]
    seconds: float


def match_instances(gt: GroundTruth, ids: Ints, confidence: Floats, min_pixels: int, seconds: float) -> Score:
    """Match predicted with true instances.

    Predictions do not overlap, and neither do true instances. A pair with an IoU above 0.5 is therefore unique. True
    instances below `min_pixels`, and predictions that lie mostly on them, do not count.
    """
    count = len(confidence)
    counts = np.bincount(gt.index * (count + 1) + ids, minlength=len(gt.instance_ids) * (count + 1))
    table = counts.reshape(len(gt.instance_ids), count + 1)
    sizes, areas = table.sum(axis=1), table.sum(axis=0)[1:]
    intersection = table[:, 1:]
    iou = intersection / (sizes[:, None] + areas - intersection)
    large = sizes >= min_pixels
    best = iou[large].max(axis=0, initial=0.0)
    matched = best > 0.5
    counted = matched | (intersection[~large].sum(axis=0) <= 0.5 * areas)
    classes = np.zeros(count) if not len(gt.instance_ids) else gt.instance_ids[intersection.argmax(axis=0)] // 1000
    predictions = np.column_stack((classes, confidence, best))[counted]
    class_ids, num_gt = np.unique(gt.instance_ids[large] // 1000, return_counts=True)
    return Score(
        _counts(best, counted, int(large.sum())),
        _counts(iou.max(axis=0, initial=0.0), np.full(count, True), len(sizes)),
        predictions,
        dict(zip(class_ids.tolist(), num_gt.tolist(), strict=True)),
        seconds,
    )


def _counts(best: Floats, counted: NDArray[np.bool_], num_gt: int) -> Floats:
    matched = best[best > 0.5]
    tp = len(matched)
    return np.array([tp, matched.sum(), counted.sum() - tp, num_gt - tp], float)


def panoptic_quality(counts: Floats) -> Floats:
    """Compute PQ from the counts of `Score`, shape (..., 4)."""
    tp, iou, fp, fn = np.moveaxis(counts, -1, 0)
    return iou / np.maximum(tp + (fp + fn) / 2, 1e-9)


def average_precision(scores: list[Score], thresholds: NDArray[Any], frame_weights: Floats | None = None) -> Floats:
    """Compute AP: the area under the envelope of precision over recall, averaged over classes and IoU thresholds.

    `multisigma.metrics.AveragePrecision` has the rule of the Cityscapes scripts, for comparison with published numbers.
    It differs in the integral alone: straight lines between the points of the curve, one point for each distinct
    confidence. For a method without a ranking, whose confidences are all equal, that curve is a single line, which
    would set it apart from the others. The matching is simpler here: the semantic map is the true one, so that no
    prediction lies on void or on a group.

    Args:
        scores: Scores of F frames.
        thresholds: IoU thresholds.
        frame_weights: How often each frame counts in each of D resamples, shape (D, F); None for once, with D = 1.

    Returns:
        AP of each resample, shape (D,). A class without true instances in a resample is left out there. Predictions of
        equal confidence keep the order of the frames, so the AP of methods without a ranking depends on it slightly.
    """
    weights = np.ones((1, len(scores))) if frame_weights is None else frame_weights
    frame = np.repeat(np.arange(len(scores)), [len(s.predictions) for s in scores])
    predictions = np.concatenate([s.predictions for s in scores])
    order = np.argsort(-predictions[:, 1], kind="stable")
    frame, predictions = frame[order], predictions[order]
    total, present = np.zeros(len(weights)), np.zeros(len(weights))
    for class_id in sorted({c for s in scores for c in s.num_gt}):
        num_gt = weights @ np.array([s.num_gt.get(class_id, 0) for s in scores])
        of_class = predictions[:, 0] == class_id
        iou, weight = predictions[of_class, 2], weights[:, frame[of_class]]
        count = np.maximum(weight.cumsum(axis=1), 1)
        for threshold in thresholds:
            tp = weight * (iou > threshold)
            precision = tp.cumsum(axis=1) / count
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            total += (envelope * tp).sum(axis=1) / np.maximum(num_gt, 1)
        present += num_gt > 0
    return total / (np.maximum(present, 1) * len(thresholds))


def study_frame(index: int, seed: int, table: str) -> dict[str, dict[str, Score]]:
    """Score every method with every error on one generated frame; return the scores by error and method."""
    cv2.setNumThreads(1)
    labels = make_labels(StreetSettings(1024, 2048, seed, matching=False), "val", index)
    gt = GroundTruth.from_map(labels.instances)
    chosen = TABLES[table](1024)
    return {
        name: _study_votes(gt, error(gt, np.random.default_rng((seed, index, number))), chosen, 100)
        for number, (name, error) in enumerate(ERRORS.items())
    }


def study_network(run: Path, data: Path, table: str) -> list[dict[str, dict[str, Score]]]:
    """Score every method on the votes that a trained network predicts for each validation frame of a data root.

    As with simulated votes, the semantic map is the true one.
    """
    module = load_module(run, "last").eval()
    frames = WholeFrames(open_dataset(data, "val", module.config.missing_labels), partial(make_targets, module.tasks))
    task = next((task for task in module.tasks if task.name == "instance"), None)
    if task is None:
        raise MultisigmaError(f"{run} must be a run with the task `instance`. Found none. Train one with this task.")
    results = []
    for i in range(len(frames)):
        frame, batch = frames[i]
        instances = frame.get("instance", InstanceMap)
        if instances is None:
            continue
        gt = GroundTruth.from_map(instances.ids)
        if not len(gt.instance_ids):
            continue
        with torch.inference_mode():
            predicted = module(batch["image"])[task.name][0].float().numpy()
        vectors = predicted[:, gt.y, gt.x].T.astype(float)
        height = frame.image.shape[0]
        min_pixels = VoteSettings.paper(height).min_pixels
        results.append({f"network, {height} rows": _study_votes(gt, vectors, TABLES[table](height), min_pixels)})
    return results


def _study_votes(gt: GroundTruth, vectors: Floats, chosen: dict[str, Method], min_pixels: int) -> dict[str, Score]:
    scores = {}
    for name, method in chosen.items():
        begin = time.process_time()
        ids, confidence = method(gt, vectors)
        scores[name] = match_instances(gt, ids, confidence, min_pixels, time.process_time() - begin)
    return scores


def summary(results: list[dict[str, dict[str, Score]]], seed: int) -> dict[str, Any]:
    """Summarise the scores of each method: averages over errors, intervals, and PQ by error.

    The first method is the reference: "PQ below ..." is the interval of its PQ minus the method's, and likewise for AP.
    """
    errors, names = list(results[0]), list(results[0][next(iter(results[0]))])
    counts = {name: np.array([[frame[e][name].counts for e in errors] for frame in results]) for name in names}
    draws = np.random.default_rng(seed).integers(len(results), size=(BOOTSTRAPS, len(results)))
    frame_weights = np.stack([np.bincount(draw, minlength=len(results)) for draw in draws]).astype(float)
    frames = {name: [[frame[e][name] for frame in results] for e in errors] for name in names}
    mean_pq = {name: panoptic_quality(c[draws].sum(axis=1)).mean(axis=1) for name, c in counts.items()}
    mean_ap = {
        name: np.mean([average_precision(scores, AP_THRESHOLDS, frame_weights) for scores in by_error], axis=0)
        for name, by_error in frames.items()
    }

    def interval(values: Floats) -> list[float]:
        return np.quantile(values, [0.025, 0.975]).round(4).tolist()

    table: dict[str, Any] = {}
    for name in names:
        by_error = {
            error: {
                "PQ": panoptic_quality(counts[name][:, k].sum(axis=0)),
                "PQ, all sizes": panoptic_quality(np.sum([score.all_counts for score in frames[name][k]], 0)),
                "AP": average_precision(frames[name][k], AP_THRESHOLDS)[0],
                "AP50": average_precision(frames[name][k], AP_THRESHOLDS[:1])[0],
                "precision": (sums := counts[name][:, k].sum(axis=0))[0] / max(sums[0] + sums[2], 1),
                "recall": sums[0] / max(sums[0] + sums[3], 1),
            }
            for k, error in enumerate(errors)
        }
        table[name] = {
            **{
                metric: round(float(np.mean([e[metric] for e in by_error.values()])), 4)
                for metric in by_error[errors[0]]
            },
            "PQ interval": interval(mean_pq[name]),
            f"PQ below {names[0]}": interval(mean_pq[names[0]] - mean_pq[name]),
            "AP interval": interval(mean_ap[name]),
            f"AP below {names[0]}": interval(mean_ap[names[0]] - mean_ap[name]),
            "median ms": round(
                1000 * float(np.median([frame[e][name].seconds for frame in results for e in errors])), 1
            ),
            "PQ by error": {e: round(float(values["PQ"]), 4) for e, values in by_error.items()},
        }
    return table


def main() -> None:
    """Run the study and print its results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, default="methods")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=Path, nargs="+", help="trained runs whose votes replace the simulated ones")
    parser.add_argument("--data", type=Path, nargs="+", help="data root of each run; its validation split is used")
    arguments = parser.parse_args()
    if len(arguments.run or ()) != len(arguments.data or ()):
        parser.error("--run and --data must have the same number of values")
    if arguments.run:
        results = [
            frame
            for run, data in zip(arguments.run, arguments.data, strict=True)
            for frame in study_network(run, data, arguments.table)
        ]
    else:
        with ProcessPoolExecutor(arguments.jobs) as pool:
            study = partial(study_frame, seed=arguments.seed, table=arguments.table)
            results = list(pool.map(study, range(arguments.frames)))
    print(
        json.dumps(
            {
                "frames": len(results),
                "votes": "of trained networks" if arguments.run else "simulated",
                "seed": arguments.seed,
                "environment": describe_environment(),
                arguments.table: summary(results, arguments.seed),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
