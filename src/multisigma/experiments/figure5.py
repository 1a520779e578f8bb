"""Figure 5 and appendix D: is depth smoother in company, and do the tasks' errors agree in place?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.fields import ClassMap, InstanceMap
from multisigma.datasets.frame import Frame, disparity_with_sky, instance_vectors
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import Scene
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import Estimate, over_seeds, t_interval
from multisigma.experiments.study import TASKS, Study
from multisigma.metrics import Counts, Measurement, Metric
from multisigma.metrics.base import SumMetric
from multisigma.metrics.counting import ratio
from multisigma.tasks import Depth
from multisigma.training.config import TrainConfig

SEEDS = 3
DEPTH = "multisigma.experiments.figure5.MeasuredDepth"
COMPANY = {
    "depth alone": [DEPTH],
    "with instances": ["instance", DEPTH],
    "with semantics": ["semantic", DEPTH],
    "all three": ["semantic", "instance", DEPTH],
}
ALONE, ALL = "depth alone", "all three"
PAIRS = list(itertools.combinations(TASKS, 2))
# Neighbouring pixels whose true disparities differ by less than this share are on one surface.
_ONE_SURFACE = 0.05


class Roughness(SumMetric):
    """Mean difference between the steps of the predicted and the true disparity, from pixel to pixel on a surface."""

    def blanks(self) -> Sequence[Measurement]:
        definition = (
            "Mean of |step of the prediction - step of the truth| over neighbouring pixels, in px, where the truth "
            f"changes by less than {100 * _ONE_SURFACE:.0f} %. Lower is smoother."
        )
        return [Measurement("disparity_roughness_px", float("nan"), "px", False, definition)]

    def zeros(self) -> Counts:
        return {"sum": np.zeros(()), "pairs": np.zeros((), np.int64)}

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        return {"disparity_roughness_px": ratio(totals["sum"], totals["pairs"])}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        found, result = disparity_with_sky(frame), cast(Any, scene.get("depth"))
        if found is None or result is None:
            return {}
        true, predicted = found[0].astype(np.float64), result.disparity.astype(np.float64)
        total, pairs = 0.0, 0
        for axis in (0, 1):
            step = np.diff(true, axis=axis)
            nearer = np.take(true, range(true.shape[axis] - 1), axis)
            same = np.abs(step) < _ONE_SURFACE * nearer
            total += float(np.abs(np.diff(predicted, axis=axis) - step)[same].sum())
            pairs += int(same.sum())
        return {"sum": np.asarray(total), "pairs": np.asarray(pairs)}


class ErrorsInPlace(SumMetric):
    """Correlation of two tasks' errors over the pixels where both are labelled (appendix D).

    The error of a class is 0 or 1; those of vectors and disparity enter as log(1 + |error|).
    """

    def blanks(self) -> Sequence[Measurement]:
        definition = "Correlation over pixels of the errors: 0 or 1 for classes, log(1 + |error|) for the others."
        return [Measurement(_key(pair), float("nan"), "", None, definition) for pair in PAIRS]

    def zeros(self) -> Counts:
        # Of each pair: n, the sums of x, y, xx, yy and xy.
        return {"moments": np.zeros((len(PAIRS), 6))}

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        n, x, y, xx, yy, xy = np.moveaxis(totals["moments"].astype(np.float64), -1, 0)
        spread = np.sqrt(np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0))
        return {_key(pair): ratio(n * xy - x * y, spread)[:, i] for i, pair in enumerate(PAIRS)}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        if not set(TASKS) <= set(scene) or frame.get("semantic", ClassMap) is None:
            return {}
        errors = _errors(scene, frame)
        moments = []
        for one, other in PAIRS:
            both = np.isfinite(errors[one]) & np.isfinite(errors[other])
            x, y = errors[one][both], errors[other][both]
            moments.append([x.size, x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()])
        return {"moments": np.array(moments)}


def _key(pair: tuple[str, str]) -> str:
    return f"error_correlation_{pair[0]}_{pair[1]}"


def _errors(scene: Scene, frame: Frame) -> dict[str, NDArray[np.float64]]:
    """Return each task's error of each pixel, nan where not labelled; shape (H, W)."""
    classes = cast(Any, frame.get("semantic", ClassMap)).ids
    evaluated = np.isin(classes, frame.labels.ids_of_train_ids)
    semantic = np.where(evaluated, cast(Any, scene["semantic"]).ids != classes, np.nan).astype(np.float64)
    vectors = None if frame.get("instance", InstanceMap) is None else instance_vectors(frame)
    disparity = disparity_with_sky(frame)
    nothing = np.full(frame.size, np.nan)
    return {
        "semantic": semantic,
        "instance": nothing
        if vectors is None
        else np.log1p(np.abs(cast(Any, scene["instance"]).values - vectors).sum(0)),
        "depth": nothing if disparity is None else np.log1p(np.abs(cast(Any, scene["depth"]).disparity - disparity[0])),
    }


class MeasuredDepth(Depth):
    """Depth with two further metrics: the roughness of its surfaces, and the correlation of all tasks' errors."""

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        return [*super().metrics(labels), Roughness(), ErrorsInPlace()]


def runs(study: Study, name: str) -> list[TrainConfig]:
    """Return the runs of depth in some company, with learned weights."""
    tasks = COMPANY[name]
    return study.of_seeds(study.config("uncertainty" if len(tasks) > 1 else "equal", tasks))


def plan(study: Study) -> list[TrainConfig]:
    return sorted((config for name in COMPANY for config in runs(study, name)), key=lambda config: config.seed)


def measured(results: Sequence[Result], key: str) -> dict[int, float]:
    """Return a number of each run over the whole split, by seed."""
    return {r.config.seed: m.value for r in results for m in r.measurements if m.key == key}


def page(study: Study) -> Page:
    made = Page("Figure 5: is depth smoother in company?")
    made.text(
        "The paper shows that depth of the network of all tasks is smoother. Roughness is the mean difference between "
        "the steps of prediction and truth from pixel to pixel, on surfaces alone; edges between objects do not count."
    )
    _, frames = study.frames()
    results = {name: study.found(runs(study, name)) for name in COMPANY}
    alone = measured(results[ALONE], "disparity_roughness_px")
    rows = []
    for name, found in results.items():
        rough = measured(found, "disparity_roughness_px")
        changes = [100 * (rough[seed] / alone[seed] - 1) for seed in rough if alone.get(seed)]
        rows.append(
            [
                name,
                estimate(t_interval(list(rough.values()))),
                "-" if name == ALONE else estimate(t_interval(changes), 3),
                estimate(over_seeds(found, "disparity_error_px", frames)),
            ]
        )
    made.table(["", "roughness, px", "against alone, %", "depth px"], rows)
    made.heading("Do the errors agree in place?")
    made.table(
        ["errors of", "correlation"],
        [[" and ".join(pair), estimate(correlation(results[ALL], pair), 3)] for pair in PAIRS],
    )
    made.text(
        "Over the pixels of all validation frames, of the network of all three tasks (appendix D finds them strongly "
        "correlated). The error of a class is 0 or 1; the others enter as log(1 + |error|)."
    )
    add_origin(made, "figure5", study)
    return made


def correlation(results: Sequence[Result], pair: tuple[str, str]) -> Estimate:
    """Return the correlation of two tasks' errors, over seeds."""
    return t_interval(list(measured(results, _key(pair)).values()))
