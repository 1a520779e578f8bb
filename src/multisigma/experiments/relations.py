"""Question 3 of section 6: why do some tasks help each other more? Gradients against gains."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from multisigma.experiments.page import Page, add_origin, estimate, number
from multisigma.experiments.plots import legend, panels
from multisigma.experiments.results import METRICS, Result
from multisigma.experiments.statistics import Estimate, gain_over_seeds, t_interval
from multisigma.experiments.study import TASKS, Study
from multisigma.training.config import TrainConfig
from multisigma.visualization.curves import PALETTE

SEEDS = 3
PAIRS = list(itertools.combinations(TASKS, 2))


def runs(study: Study, *tasks: str) -> list[TrainConfig]:
    """Return the runs of tasks together with learned weights, or of one task alone."""
    return study.of_seeds(study.config(tasks=tasks) if len(tasks) > 1 else study.config("equal", tasks))


def plan(study: Study) -> list[TrainConfig]:
    sets = [*((task,) for task in TASKS), *PAIRS, TASKS]
    return sorted((config for tasks in sets for config in runs(study, *tasks)), key=lambda config: config.seed)


def mean_cosine(result: Result, part: str, pair: tuple[str, str]) -> float:
    """Return the cosine of two tasks' gradients at a part of the network, averaged over the training."""
    values = [row[f"cosine/{part}/{pair[0]}/{pair[1]}"] for row in result.gradients]
    return float(np.mean(values)) if values else float("nan")


def transfer(result: Result, helper: str, helped: str) -> float:
    """Return by how many per cent a step of one task changes the other's loss, to first order, over the training.

    The step is 0.01 in the direction of the helper's gradient at the shared parameters: the change is 0.01 x the norm
    of the other's gradient x the cosine, over its loss. Positive: the loss falls.
    """
    pair = (helper, helped) if f"cosine/all/{helper}/{helped}" in result.gradients[0] else (helped, helper)
    steps, losses = result.curves[f"loss/{helped}"]
    changes = [
        row[f"cosine/all/{pair[0]}/{pair[1]}"] * row[f"norm/all/{helped}"] / np.interp(row["step"], steps, losses)
        for row in result.gradients
    ]
    return float(np.mean(changes))


def pair_gain(study: Study, helped: str, helper: str) -> Estimate:
    """Return the gain in per cent of a task from the company of another, paired by seed."""
    _, frames = study.frames()
    pair = next(pair for pair in PAIRS if {helped, helper} == set(pair))
    found, alone = study.found(runs(study, *pair)), study.found(runs(study, helped))
    return gain_over_seeds(found, alone, METRICS[helped][:1], frames)


def page(study: Study) -> Page:
    made = Page("Which tasks help each other, and can gradients tell?")
    made.text(
        "The paper finds that semantics and depth help each other more than semantics and instances, and asks why. "
        "Here the gain of each task from the company of one other is set against two measures of their gradients in "
        "the network of all three tasks: the cosine, which is symmetric, and the change of one task's loss by a step "
        "of the other, which is not."
    )
    together = study.found(runs(study, *TASKS))
    if together:
        _add_cosines(made, together)
    directed = [(helped, helper) for helped in TASKS for helper in TASKS if helped != helper]
    gains = {(a, b): pair_gain(study, a, b) for a, b in directed}
    measures = {
        (helped, helper): [
            t_interval([mean_cosine(r, "all", _ordered(helped, helper)) for r in together]),
            t_interval([transfer(r, helper, helped) for r in together]),
        ]
        for helped, helper in directed
    }
    made.heading("Gains and what gradients say")
    made.table(
        ["task", "with", "gain over alone, %", "cosine", "change of its loss by a step of 0.01, %"],
        [[a, b, estimate(gains[a, b], 3), *(estimate(m, 3) for m in measures[a, b])] for a, b in directed],
    )
    correlations = [
        _correlation([gains[pair].mean for pair in directed], [measures[pair][i].mean for pair in directed])
        for i in (0, 1)
    ]
    made.text(
        f"Rank correlation of the gains with the cosine {number(correlations[0], 2)}, with the change of the loss "
        f"{number(correlations[1], 2)}. There are six values: a correlation below 0.89 in size may be chance (5 %, two "
        "sides)."
    )
    add_origin(made, "relations", study)
    return made


def _ordered(one: str, other: str) -> tuple[str, str]:
    return next(pair for pair in PAIRS if {one, other} == set(pair))


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    if not np.isfinite([*first, *second]).all():
        return float("nan")
    return float(spearmanr(first, second).statistic)


def _add_cosines(page: Page, results: Sequence[Result]) -> None:
    keys = results[0].gradients[0].keys()
    parts = list(dict.fromkeys(key.split("/")[1] for key in keys if key.startswith("cosine/")))
    page.heading("Cosine of the tasks' gradients")
    page.table(
        ["part", *(f"{one}, {other}" for one, other in PAIRS)],
        [
            [part, *(estimate(t_interval([mean_cosine(r, part, p) for r in results]), 2) for p in PAIRS)]
            for part in parts
        ],
    )
    page.text(f"Mean over {len(results[0].gradients)} batches over the training; `all` is all that the tasks share.")
    figure, axes = panels([f"{one}, {other}" for one, other in PAIRS])
    for axis, (one, other) in zip(axes, PAIRS, strict=True):
        for part, colour in zip(parts, (*PALETTE, *PALETTE), strict=False):
            steps = [row["step"] for row in results[0].gradients]
            values = np.mean([[row[f"cosine/{part}/{one}/{other}"] for row in r.gradients] for r in results], 0)
            axis.plot(steps, values, color="k" if part == "all" else colour, label=part)
        axis.axhline(0, color="k", linewidth=0.5)
        axis.set_xlabel("iteration")
    legend(axes[0], ncols=2)
    page.plot("cosines", figure, "Cosine of the gradients of two tasks' losses for one batch, mean over seeds.")
