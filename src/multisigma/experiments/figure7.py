"""Figure 7 of the paper: noise, losses and weights over the training."""

from __future__ import annotations

import numpy as np

from multisigma.experiments.noise import distance_from_optimum, learned_noise, plot_noise
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.plots import COLOURS, curve, legend, panels, running_mean
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import t_interval
from multisigma.experiments.study import TASKS, Study
from multisigma.training.config import TrainConfig

SEEDS = 3
# Weights of semantic and instance over that of depth: at 500 iterations of 50,000, and at the end (section 5.1).
PAPER = {"1 % of the training": (23.0, 0.22), "the end": (43.0, 0.16)}


def plan(study: Study) -> list[TrainConfig]:
    return study.of_seeds(study.config())


def ratio(result: Result, task: str, share: float) -> float:
    """Return the weight of a task over that of depth, at a share of the training."""
    steps, weights = curve(result, f"weight/{task}")
    _, depth = curve(result, "weight/depth")
    at = int(np.searchsorted(steps, share * result.config.iterations, side="right")) - 1
    return float(weights[at] / depth[at])


def effective_rate(result: Result, task: str) -> tuple[list[float], list[float]]:
    """Return iterations and learning rate * weight * norm of the task's gradient at the shared parameters."""
    steps, weights = curve(result, f"weight/{task}")
    config = result.config
    found = [
        (row["step"], row[f"norm/all/{task}"] * float(np.interp(row["step"], steps, weights)))
        for row in result.gradients
        if f"norm/all/{task}" in row
    ]
    decay = [config.learning_rate * (1 - step / config.iterations) ** config.poly_power for step, _ in found]
    return [step for step, _ in found], [rate * norm for rate, (_, norm) in zip(decay, found, strict=True)]


def page(study: Study) -> Page:
    made = Page("Figure 7: noise, losses and weights over the training")
    results = study.found(plan(study))
    figure, axes = panels([f"{kind}, {task}" for kind in ("noise", "loss", "effective rate") for task in TASKS])
    for number_of_run, result in enumerate(results):
        for column, task in enumerate(TASKS):
            if number_of_run == 0:
                plot_noise(axes[column], result, task, "learned")
            else:
                axes[column].plot(*learned_noise(result, task), color=COLOURS[task], alpha=0.4)
            steps, losses = curve(result, f"loss/{task}")
            axes[3 + column].plot(steps, running_mean(losses), color=COLOURS[task], alpha=0.7)
            axes[6 + column].plot(*effective_rate(result, task), color=COLOURS[task], alpha=0.7)
    for axis in axes[6:]:
        axis.set_xlabel("iteration")
    legend(axes[0])
    made.plot(
        "curves",
        figure,
        "Noise (1 / weight) of each task with the closed form for the running loss of the first seed; the running "
        "loss; and the effective rate at what the tasks share: learning rate x weight x norm of the task's gradient. "
        "One curve for each seed.",
    )
    made.heading("Weights over that of depth")
    rows = []
    for (place, paper), share in zip(PAPER.items(), (0.01, 1.0), strict=True):
        ours = [estimate(t_interval([ratio(r, task, share) for r in results]), 3) for task in TASKS[:2]]
        rows.append([place, *ours, *(f"{value:g}" for value in paper)])
    made.table(["at", "semantic", "instance", "paper: semantic", "paper: instance"], rows)
    made.text(
        "The ratios depend on the data, on the size of the frames and on the likelihoods. The paper's follow from "
        "weights of exp(-s) for every task; ours are 1 / b for the L1 losses and 1 / sigma² for the softmax."
    )
    made.heading("Is the learned noise at its optimum at the end?")
    made.table(
        ["task", "largest factor between learned and closed form, last tenth"],
        [[task, estimate(t_interval([distance_from_optimum(r, task) for r in results]), 3)] for task in TASKS],
    )
    add_origin(made, "figure7", study)
    return made
