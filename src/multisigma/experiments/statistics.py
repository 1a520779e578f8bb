"""Statistics of the experiments: halves of the validation frames, intervals over seeds and frames, delta-m."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from multisigma.experiments.results import METRICS, Result

HIGHER_IS_BETTER = {"iou_class", "iou_category"}
DRAWS = 1000


class Estimate(NamedTuple):
    """A mean over seeds with the ends of its 95 % interval, which are nan for a single seed."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def halves(frames: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split frames by city into those to choose on and those to report on, which are no fewer.

    The city is what stands before the first underscore of the name. With a single city the frames themselves are split.
    """
    cities = defaultdict(list)
    for name in sorted(frames):
        cities[name.split("_")[0]].append(name)
    groups = list(cities.values()) if len(cities) > 1 else [[name] for name in sorted(frames)]
    choose: list[str] = []
    report: list[str] = []
    for group in sorted(groups, key=len, reverse=True):
        smaller = report if len(report) <= len(choose) else choose
        smaller += group
    return (choose, report) if len(choose) <= len(report) else (report, choose)


def t_interval(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values and its 95 % t interval.

    Example:
        >>> [round(end, 2) for end in t_interval([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]
    """
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, math.nan, math.nan)
    reach = float(student_t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Estimate(mean, mean - reach, mean + reach)


def over_seeds(results: Sequence[Result], key: str, frames: Sequence[str]) -> Estimate:
    """Return the mean of a measurement over seeds with its t interval."""
    return t_interval([result.value(key, frames) for result in results])


def paired(first: Sequence[Result], second: Sequence[Result], key: str, frames: Sequence[str]) -> Estimate:
    """Return the mean difference `first - second` over the seeds that both have, with its paired t interval."""
    values = [{r.config.seed: r.value(key, frames) for r in results} for results in (first, second)]
    return t_interval([values[0][seed] - values[1][seed] for seed in values[0] if seed in values[1]])


def over_frames(
    first: Sequence[Result], second: Sequence[Result], key: str, frames: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval over frames of the difference of means over seeds; nan where not defined.

    Both methods see the same draws of the frames. Without `second` it is the interval of the mean itself.
    """
    weights = np.random.default_rng(0).multinomial(len(frames), np.full(len(frames), 1 / len(frames)), DRAWS)
    means = [_mean_draws(results, key, frames, weights) for results in (first, second) if results]
    draws = means[0] - means[1] if len(means) > 1 else means[0]
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.percentile(defined, (2.5, 97.5)).tolist()
    return low, high


def _mean_draws(
    results: Sequence[Result], key: str, frames: Sequence[str], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.mean([result.resample(key, frames, weights) for result in results], 0)


def gain(key: str, value: float, reference: float) -> float:
    """Return by how many per cent a value is better than a reference.

    Example:
        >>> gain("iou_class", 55.0, 50.0), gain("disparity_error_px", 0.5, 1.0)
        (10.0, 50.0)
    """
    sign = 1 if key in HIGHER_IS_BETTER else -1
    return 100 * sign * (value - reference) / reference if reference else math.nan


def gain_over_seeds(
    found: Sequence[Result], base: Sequence[Result], keys: Sequence[str], frames: Sequence[str]
) -> Estimate:
    """Return the mean over measurements of the gain over the same seed of the base, in per cent, over seeds."""
    before = {result.config.seed: result for result in base}
    both = [(result, before[result.config.seed]) for result in found if result.config.seed in before]
    return t_interval(
        [
            float(np.mean([gain(key, result.value(key, frames), old.value(key, frames)) for key in keys]))
            for result, old in both
        ]
    )


def delta_m(values: Mapping[str, float], references: Mapping[str, float], over: str = "tasks") -> float:
    r"""Return the mean gain over single tasks in per cent, $\Delta_m$ of Maninis et al. (CVPR 2019).

    Args:
        values: Measurements by key.
        references: Those of the single-task networks.
        over: 'tasks' takes the first measurement of each task; 'metrics' the mean over all measurements of all tasks,
            which weighs a task by how many it has.

    Example:
        >>> single = {"iou_class": 50.0, "iou_category": 80.0, "disparity_error_px": 1.0}
        >>> both = {"iou_class": 55.0, "iou_category": 80.0, "disparity_error_px": 0.9}
        >>> round(delta_m(both, single), 2), round(delta_m(both, single, "metrics"), 2)
        (10.0, 6.67)
    """
    keys = [key for of_task in METRICS.values() for key in (of_task[:1] if over == "tasks" else of_task)]
    gains = [gain(key, values[key], references[key]) for key in keys if key in values and key in references]
    known = [value for value in gains if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def score(result: Result, frames: Sequence[str]) -> float:
    """Return what a choice maximises: the mean over tasks of the logarithm of the main measurement, the sign by which
    is better.

    A difference of two scores is a mean relative gain and needs no reference. Minus infinity if the run failed.
    """
    logarithms = []
    for keys in METRICS.values():
        value = result.value(keys[0], frames)
        if not math.isnan(value):
            logarithms.append(math.log(max(value, 1e-12)) * (1 if keys[0] in HIGHER_IS_BETTER else -1))
    return sum(logarithms) / len(logarithms) if logarithms else -math.inf
