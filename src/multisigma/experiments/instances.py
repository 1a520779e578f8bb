"""Which way from votes to instances is best: methods and settings on generated frames with known errors of the votes.

python -m multisigma.experiments.instances [--table methods|settings] [--frames 50] [--jobs 2] [--seed 1]
python -m multisigma.experiments.instances --run RUN ... --data ROOT ... [--table methods|settings]

The truth is generated street frames at 1024x2048: their semantic map, and their vectors plus an error of one of the
kinds of `ERRORS`; or, with `--run`, the vectors that a trained network gives for the frames of a data root. Scores are
pooled over the eight instance classes; instances of fewer than 100 pixels at 1024x2048 are neither asked for nor held
against a method. Intervals are 95 %, by bootstrap over frames.
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

from multisigma.data.cityscapes import list_frames
from multisigma.data.labels import INSTANCE_CLASSES
from multisigma.data.module import WholeFrames
from multisigma.data.streets import StreetSettings, make_labels
from multisigma.errors import MultisigmaError
from multisigma.instances import VoteSettings, instances_from_votes
from multisigma.training.environment import describe_environment
from multisigma.training.train import load_module, make_targets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASS_IDS = [label.id for label in INSTANCE_CLASSES]
SUBSAMPLE = 1000
"""Votes of a class that the methods of quadratic time are given."""
BOOTSTRAPS = 1000
AP_THRESHOLDS = np.arange(0.5, 1.0, 0.05)


@dataclass(frozen=True)
class Truth:
    """The pixels of a frame's instances, in raster order.

    Args:
        instances: Raw instance ids (H, W), 0 where there is no instance of the eight classes.
        x: Column of each pixel (n,).
        y: Row of each pixel (n,).
        names: The K instances' raw ids.
        index: Which of them each pixel is of (n,).
        vectors: To the instance's centroid (n, 2), pixels.
    """

    instances: Ints
    x: Ints
    y: Ints
    names: Ints
    index: Ints
    vectors: Floats

    @classmethod
    def of(cls, raw: NDArray[np.integer]) -> Truth:
        instances = np.where((raw >= 1000) & np.isin(raw // 1000, CLASS_IDS), raw, 0).astype(np.int64)
        y, x = np.nonzero(instances)
        names, index = np.unique(instances[y, x], return_inverse=True)
        sizes = np.bincount(index, minlength=len(names))
        centres = np.stack([np.bincount(index, at, len(names)) / sizes for at in (x, y)], axis=1)
        return cls(instances, x, y, names, index, centres[index] - np.stack((x, y), axis=1))


# The errors of the votes: each gives vectors (n, 2) for a frame.


def constant(truth: Truth, rng: np.random.Generator, spread: float) -> Floats:
    """Normal noise of `spread` pixels per component, independent from pixel to pixel."""
    return truth.vectors + rng.normal(0, spread, truth.vectors.shape)


def proportional(truth: Truth, rng: np.random.Generator, share: float) -> Floats:
    """Normal noise of a share of the vector's length per component, independent from pixel to pixel."""
    return truth.vectors + rng.normal(0, share, truth.vectors.shape) * _lengths(truth.vectors)


def smooth(truth: Truth, rng: np.random.Generator, share: float) -> Floats:
    """Noise of a share of the vector's length that changes over some 16 pixels, and half a pixel of noise."""
    fields = [
        cv2.GaussianBlur(rng.standard_normal(truth.instances.shape, dtype=np.float32), (0, 0), 16) for _ in range(2)
    ]
    error = np.stack([field[truth.y, truth.x] / field.std() for field in fields], axis=1)
    return truth.vectors + share * error * _lengths(truth.vectors) + rng.normal(0, 0.5, error.shape)


def between(truth: Truth, rng: np.random.Generator, blur: float) -> Floats:
    """Vectors blurred across borders within a class, so that votes fall between centres; and 5 % smooth noise."""
    vectors = truth.vectors.copy()
    for class_id in np.unique(truth.names // 1000):
        of_class = truth.names[truth.index] // 1000 == class_id
        y, x = truth.y[of_class], truth.x[of_class]
        field = np.zeros((*truth.instances.shape, 3), dtype=np.float32)
        field[y, x] = np.column_stack((truth.vectors[of_class], np.ones(len(y))))
        blurred = cv2.GaussianBlur(field, (0, 0), blur)[y, x]
        vectors[of_class] = blurred[:, :2] / blurred[:, 2:]
    return smooth(replace(truth, vectors=vectors), rng, 0.05)


def _lengths(vectors: Floats) -> Floats:
    return np.hypot(vectors[:, 0], vectors[:, 1])[:, None]


ERRORS: dict[str, Callable[[Truth, np.random.Generator], Floats]] = {
    **{f"{pixels} px": partial(constant, spread=pixels) for pixels in (3, 5, 10)},
    **{f"{share} % of the length": partial(proportional, share=share / 100) for share in (5, 10, 15)},
    **{f"smooth, {share} %": partial(smooth, share=share / 100) for share in (5, 10, 15)},
    **{f"between neighbours, {blur} px": partial(between, blur=blur) for blur in (4, 8)},
}

# The methods: each gives the instance of every pixel (n,) from 1, or 0, and the instances' confidences.

Method = Callable[[Truth, Floats], tuple[Ints, Floats]]


def votes(truth: Truth, vectors: Floats, settings: VoteSettings, ranked: bool = True) -> tuple[Ints, Floats]:
    """The project's own way; the confidence is that of the votes' agreement alone, or 1 if not `ranked`."""
    field = np.zeros((2, *truth.instances.shape), dtype=np.float32)
    field[:, truth.y, truth.x] = vectors.T
    found = instances_from_votes(field, truth.instances // 1000, CLASS_IDS, settings=settings)
    confidence = found.confidence if ranked else np.ones(len(found.confidence))
    return found.ids[truth.y, truth.x].astype(np.int64), confidence


def by_centres(
    truth: Truth, vectors: Floats, centres_of: Callable[[Floats, int], Floats], min_pixels: int
) -> tuple[Ints, Floats]:
    """Every vote to the nearest of the centres that a method finds among the votes of its class."""
    ids = np.zeros(len(vectors), dtype=np.int64)
    count = 0
    points = vectors + np.stack((truth.x, truth.y), axis=1)
    classes = truth.names[truth.index] // 1000
    for class_id in np.unique(classes):
        of_class = np.flatnonzero(classes == class_id)
        here = points[of_class]
        centres = centres_of(here, int(class_id))
        if not len(centres):
            continue
        members = pairwise_distances_argmin(here, centres)
        kept = np.bincount(members, minlength=len(centres)) >= min_pixels
        if kept.any():
            ids[of_class] = 1 + count + pairwise_distances_argmin(here, centres[kept])
            count += int(kept.sum())
    return ids, np.ones(count)


def true_centres(truth: Truth, _points: Floats, class_id: int) -> Floats:
    """What a perfect clustering would find: the bound of every method that sends votes to the nearest centre."""
    chosen = np.isin(truth.index, np.flatnonzero(truth.names // 1000 == class_id))
    index, where = truth.index[chosen], np.flatnonzero(chosen)
    first = where[np.unique(index, return_index=True)[1]]
    return np.stack((truth.x, truth.y), axis=1)[first] + truth.vectors[first]


def dbscan_centres(points: Floats, _class_id: int, eps: float, min_samples: int) -> Floats:
    """DBSCAN on votes pooled on a 1-pixel grid, with multiplicities."""
    cells, weights = np.unique(np.rint(points), axis=0, return_counts=True)
    labels = DBSCAN(eps=eps, min_samples=min_samples).fit_predict(cells, sample_weight=weights)
    return _means(cells, labels, weights)


def hdbscan_centres(points: Floats, _class_id: int, min_samples: int) -> Floats:
    """HDBSCAN on a random subsample; its numbers of samples shrink with the share that is taken."""
    chosen, share = _subsample(points)
    least = max(round(min_samples * share), 5)
    if len(chosen) <= least:
        return np.empty((0, 2))
    model = HDBSCAN(min_cluster_size=least, min_samples=least, allow_single_cluster=True, copy=True)
    return _means(chosen, model.fit_predict(chosen), np.ones(len(chosen)))


def mean_shift_centres(points: Floats, _class_id: int, bandwidth: float) -> Floats:
    """Mean shift on a random subsample, seeded on a grid of the bandwidth."""
    chosen, _ = _subsample(points)
    model = MeanShift(bandwidth=bandwidth, bin_seeding=True, max_iter=50)
    return _means(chosen, model.fit_predict(chosen), np.ones(len(chosen)))


def heat_map_centres(points: Floats, _class_id: int, spread: float, min_votes: float) -> Floats:
    """Peaks of the blurred histogram of the votes, by non-maximum suppression (as Panoptic-DeepLab's centres)."""
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
    sums = [np.bincount(labels[inside], (weights * points[:, axis])[inside]) for axis in range(2)]
    return np.stack(sums, axis=1) / total[:, None]


def methods(height: int) -> dict[str, Method]:
    """The methods of the comparison for frames of a height, each at its better settings on frames of another seed."""
    default = VoteSettings.for_height(height)
    nearest = replace(default, assignment="nearest")
    cut = {depth: replace(nearest, extraction="cut", cut=depth) for depth in (2.0, 3.0, 4.0, 6.0)}
    least, samples = default.min_pixels, default.min_samples
    centres: dict[str, Callable[[Floats, int], Floats]] = {
        "DBSCAN, 4 px": partial(dbscan_centres, eps=4, min_samples=samples),
        "HDBSCAN": partial(hdbscan_centres, min_samples=samples),
        "mean shift, 15 px": partial(mean_shift_centres, bandwidth=15),
        **{f"heat map, {s} px": partial(heat_map_centres, spread=s, min_votes=least) for s in (3, 6, 10)},
    }
    return {
        "tree": partial(votes, settings=default),
        "paper": partial(votes, settings=VoteSettings.paper(height)),
        "tree, nearest": partial(votes, settings=nearest),
        "tree, not ranked": partial(votes, settings=default, ranked=False),
        "tree, 2 px grid": partial(votes, settings=replace(default, grid=2 * default.grid)),
        **{f"cut at {depth:g} px": partial(votes, settings=chosen) for depth, chosen in cut.items()},
        **{
            f"cut at {depth:g} px, near": partial(votes, settings=replace(cut[depth], assignment="near"))
            for depth in (3.0, 4.0)
        },
        **{name: partial(by_centres, centres_of=of, min_pixels=least) for name, of in centres.items()},
        "true centres": lambda truth, vectors: by_centres(truth, vectors, partial(true_centres, truth), 1),
    }


def settings_around(height: int) -> dict[str, Method]:
    """The default with one setting changed."""
    default = VoteSettings.for_height(height)
    changes: list[dict[str, Any]] = [
        {},
        *({"min_samples": k} for k in (20, 50, 200)),
        *({"max_eps": e} for e in (5.0, 10.0, 100.0)),
        *({"contrast": c} for c in (0.5, 0.6, 0.85)),
        *({"slope": s} for s in (0.25, 0.5, 2.0)),
        *({"grid": g} for g in (0.0, 0.5, 2.0, 4.0)),
        *({"min_pixels": m} for m in (30, 50, 200)),
        *({"assignment": a} for a in ("nearest", "noise", "clusters")),
        *({"extraction": "cut", "cut": c} for c in (1.0, 3.0, 10.0)),
        *({"extraction": "cut", "cut": c, "min_samples": 50} for c in (1.0, 2.0, 3.0, 4.0)),
        *({"extraction": "cut", "cut": 3.0, "assignment": a} for a in ("nearest", "noise", "clusters")),
        *({"extraction": "xi", "xi": x, "grid": 0.0} for x in (0.02, 0.05, 0.2)),
    ]
    return {
        ", ".join(f"{k} {v}" for k, v in change.items()) or "default": partial(
            votes, settings=replace(default, **change)
        )
        for change in changes
    }


TABLES: dict[str, Callable[[int], dict[str, Method]]] = {"methods": methods, "settings": settings_around}


@dataclass(frozen=True)
class Score:
    """What a method found in a frame.

    Args:
        counts: True positives at IoU 0.5, the sum of their IoU, false positives, missed; shape (4,).
        found: Class, confidence and IoU with the best true instance of each instance that counts; shape (P, 3).
        asked: Number of true instances of each class.
        seconds: Processor time.
    """

    counts: Floats
    found: Floats
    asked: dict[int, int]
    seconds: float


def score(truth: Truth, ids: Ints, confidence: Floats, least: int, seconds: float) -> Score:
    """Holds instances against the truth; both partition the same pixels, so that a match above 0.5 is the only one."""
    count = len(confidence)
    table = np.bincount(truth.index * (count + 1) + ids, minlength=len(truth.names) * (count + 1))
    table = table.reshape(len(truth.names), count + 1)
    sizes, areas = table.sum(axis=1), table.sum(axis=0)[1:]
    overlap = table[:, 1:]
    iou = overlap / (sizes[:, None] + areas - overlap)
    asked = sizes >= least
    best = iou[asked].max(axis=0, initial=0.0)
    hits = best > 0.5
    # Mostly of an instance that is not asked for: neither right nor wrong.
    counted = hits | (overlap[~asked].sum(axis=0) <= 0.5 * areas)
    tp = float(hits.sum())
    classes = np.zeros(count) if not len(truth.names) else truth.names[overlap.argmax(axis=0)] // 1000
    found = np.column_stack((classes, confidence, best))[counted]
    numbers, amount = np.unique(truth.names[asked] // 1000, return_counts=True)
    return Score(
        np.array([tp, best[hits].sum(), float(counted.sum()) - tp, float(asked.sum()) - tp]),
        found,
        dict(zip(numbers.tolist(), amount.tolist(), strict=True)),
        seconds,
    )


def panoptic_quality(counts: Floats) -> Floats:
    """PQ from counts (..., 4)."""
    tp, iou, fp, fn = np.moveaxis(counts, -1, 0)
    return iou / np.maximum(tp + (fp + fn) / 2, 1e-9)


def average_precision(scores: list[Score], thresholds: NDArray[Any]) -> float:
    """Mean over classes and thresholds of the area under the envelope of precision over recall."""
    found = np.concatenate([s.found for s in scores])
    found = found[np.argsort(-found[:, 1], kind="stable")]
    areas = []
    for class_id in sorted({c for s in scores for c in s.asked}):
        asked = sum(s.asked.get(class_id, 0) for s in scores)
        iou = found[found[:, 0] == class_id, 2]
        for threshold in thresholds:
            right = np.cumsum(iou > threshold)
            precision = np.maximum.accumulate((right / np.arange(1, len(iou) + 1))[::-1])[::-1]
            areas.append(float((precision * np.diff(right, prepend=0)).sum() / asked))
    return float(np.mean(areas))


def study_frame(index: int, seed: int, table: str) -> dict[str, dict[str, Score]]:
    """Scores by error and method of one generated frame."""
    cv2.setNumThreads(1)
    truth = Truth.of(make_labels(StreetSettings(1024, 2048, seed, matching=False), "val", index).instances)
    chosen = TABLES[table](1024)
    return {
        name: _study_votes(truth, error(truth, np.random.default_rng((seed, index, number))), chosen, 100)
        for number, (name, error) in enumerate(ERRORS.items())
    }


def study_network(run: Path, data: Path, table: str) -> list[dict[str, dict[str, Score]]]:
    """Scores of a trained network's votes on the true pixels of the instances of each frame of its validation split."""
    module = load_module(run, "last").eval()
    frames = WholeFrames(list_frames(data, "val", module.config.missing_labels), partial(make_targets, module.tasks))
    task = next((task for task in module.tasks if task.name == "instance"), None)
    if task is None:
        raise MultisigmaError(f"{run}: the run should have the task `instance`. Train one that has.")
    results = []
    for i in range(len(frames)):
        frame, batch = frames[i]
        if frame.instances is None:
            continue
        truth = Truth.of(frame.instances)
        if not len(truth.names):
            continue
        with torch.inference_mode():
            vectors = task.predict(module(batch["image"])[task.name])[0].numpy()
        height = frame.image.shape[0]
        chosen = TABLES[table](height)
        least = VoteSettings.for_height(height).min_pixels
        results.append(
            {
                f"network, {height} rows": _study_votes(
                    truth, vectors[:, truth.y, truth.x].T.astype(float), chosen, least
                )
            }
        )
    return results


def _study_votes(truth: Truth, vectors: Floats, chosen: dict[str, Method], least: int) -> dict[str, Score]:
    scores = {}
    for name, method in chosen.items():
        begin = time.process_time()
        ids, confidence = method(truth, vectors)
        scores[name] = score(truth, ids, confidence, least, time.process_time() - begin)
    return scores


def summary(results: list[dict[str, dict[str, Score]]], seed: int) -> dict[str, Any]:
    """Scores of each method, by error and over all errors; differences to the first method with their intervals."""
    errors, names = list(results[0]), list(results[0][next(iter(results[0]))])
    counts = {name: np.array([[frame[e][name].counts for e in errors] for frame in results]) for name in names}
    draws = np.random.default_rng(seed).integers(len(results), size=(BOOTSTRAPS, len(results)))
    mean_quality = {name: panoptic_quality(c[draws].sum(axis=1)).mean(axis=1) for name, c in counts.items()}

    def interval(values: Floats) -> list[float]:
        return np.quantile(values, [0.025, 0.975]).round(4).tolist()

    table: dict[str, Any] = {}
    for name in names:
        by_error = {
            error: {
                "PQ": panoptic_quality(counts[name][:, k].sum(axis=0)),
                "AP": average_precision([frame[error][name] for frame in results], AP_THRESHOLDS),
                "AP50": average_precision([frame[error][name] for frame in results], AP_THRESHOLDS[:1]),
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
            "PQ interval": interval(mean_quality[name]),
            f"PQ below {names[0]}": interval(mean_quality[names[0]] - mean_quality[name]),
            "median ms": round(
                1000 * float(np.median([frame[e][name].seconds for frame in results for e in errors])), 1
            ),
            "PQ by error": {e: round(float(values["PQ"]), 4) for e, values in by_error.items()},
        }
    return table


def main() -> None:
    """Run the study and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, default="methods")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=Path, nargs="+", help="trained runs: their votes instead of simulated ones")
    parser.add_argument("--data", type=Path, nargs="+", help="the data root of each run, with its validation split")
    arguments = parser.parse_args()
    if len(arguments.run or ()) != len(arguments.data or ()):
        parser.error("--run and --data go together, as many of one as of the other")
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
