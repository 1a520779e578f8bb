"""Figure 6 of the paper: the noise converges to the same values from any start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multisigma.experiments.comparison import HEADINGS, MAIN
from multisigma.experiments.noise import learned_noise
from multisigma.experiments.page import Page, add_origin, estimate, number
from multisigma.experiments.plots import curve, legend, panels, running_mean
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import over_seeds
from multisigma.experiments.study import TASKS, Study
from multisigma.training.config import TrainConfig

SEEDS = 3
# Logarithms of the initial noise, from 0.135 to 148 as in appendix B.
STARTS = (-2.0, -1.0, 0.0, 1.5, 3.0, 5.0)
FACTORS = (2.0, 1.25, 1.1)


def start(study: Study, log_noise: float) -> TrainConfig:
    """Return the configuration in which the noise of every task, 1 / weight, starts at exp(log_noise).

    The paper's noise of an L1 loss is our scale b = exp(s / 2), that of the softmax is exp(s).
    """
    if log_noise == 0:
        return study.config()
    return study.config(options={"initial": {"semantic": log_noise, "instance": 2 * log_noise, "depth": 2 * log_noise}})


def plan(study: Study) -> list[TrainConfig]:
    return [config for log_noise in STARTS for config in study.of_seeds(start(study, log_noise))]


def agreement(noises: NDArray[np.float64], steps: NDArray[np.float64], factor: float) -> float:
    """Return the first iteration from which the noises stay within a factor of each other; nan if there is none.

    Args:
        noises: Noise of each run, shape (runs, records).
        steps: Iterations of the records.
        factor: The largest ratio of two runs.

    Example:
        >>> agreement(np.array([[1.0, 2.0, 2.0], [4.0, 2.5, 2.1]]), np.array([0.0, 5.0, 10.0]), 1.25)
        5.0
    """
    apart = np.flatnonzero(noises.max(0) / noises.min(0) > factor)
    first = apart[-1] + 1 if len(apart) else 0
    return float(steps[first]) if first < len(steps) else float("nan")


def page(study: Study) -> Page:
    made = Page("Figure 6: the noise from different starts")
    made.text(
        "The paper starts the noise at 0.135 to 148 and finds the same values after about 100 iterations. Noise is "
        "1 / weight here, as in the paper's figures."
    )
    first = {s: found[0] for s in STARTS if (found := from_start(study, s))}
    figure, axes = panels([f"{kind}, {task}" for kind in ("noise", "loss") for task in TASKS])
    for column, task in enumerate(TASKS):
        for log_noise, result in first.items():
            label = f"from {number(float(np.exp(log_noise)), 3)}"
            axes[column].plot(*learned_noise(result, task), label=label)
            steps, losses = curve(result, f"loss/{task}")
            axes[3 + column].plot(steps, running_mean(losses), label=label)
        for axis in (axes[column], axes[3 + column]):
            axis.set_yscale("log")
        axes[3 + column].set_xlabel("iteration")
    legend(axes[0])
    made.plot("noise", figure, "Noise and running loss of each task, one curve for each start; first seed.")
    made.heading("Iterations until the noises agree")
    made.table(
        ["factor", *TASKS],
        [
            [
                f"{factor:g}",
                *(", ".join(number(n, 3) for n in agreements(study, task, factor)) or "-" for task in TASKS),
            ]
            for factor in FACTORS
        ],
    )
    made.text(
        f"From this iteration on, the noises of all starts lie within the factor, of {study.budget.config.iterations} "
        "iterations; one number for each seed."
    )
    made.heading("Does the start matter for the result?")
    _, frames = study.frames()
    rows = [
        [number(float(np.exp(s)), 3), *(estimate(over_seeds(from_start(study, s), key, frames)) for key in MAIN)]
        for s in first
    ]
    made.table(["initial noise", *HEADINGS], rows)
    add_origin(made, "figure6", study)
    return made


def from_start(study: Study, log_noise: float) -> list[Result]:
    """Return the results of a start, of all seeds that have run."""
    return study.found(study.of_seeds(start(study, log_noise)))


def agreements(study: Study, task: str, factor: float) -> list[float]:
    """Return for each seed with all starts the iteration from which the noises of a task agree, or nan."""
    by_start = [{result.config.seed: learned_noise(result, task) for result in from_start(study, s)} for s in STARTS]
    seeds = sorted(set.intersection(*(set(noises) for noises in by_start)))
    return [
        agreement(np.stack([noises[seed][1] for noises in by_start]), by_start[0][seed][0], factor) for seed in seeds
    ]
