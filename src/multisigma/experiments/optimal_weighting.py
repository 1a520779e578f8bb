"""Question 1 of section 6: what is the optimal weighting? The front of fixed weights, and where learned ones lie."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from multisigma.experiments import table1
from multisigma.experiments.comparison import GAINS, HEADINGS, MAIN, paired_gains
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.plots import legend, panels
from multisigma.experiments.statistics import HIGHER_IS_BETTER, over_seeds
from multisigma.experiments.study import TASKS, Study
from multisigma.training.config import TrainConfig
from multisigma.visualization.curves import PALETTE
from multisigma.weighting import Likelihood, UncertaintyWeighting

SEEDS = 3
STRENGTHS = (1 / 3, 3.0)
LEARNED = "learned"


class PreferredWeighting(UncertaintyWeighting):
    """Uncertainty weighting in which a user prefers some tasks.

    Args:
        likelihoods: Each task's likelihood by name.
        preference: What some tasks' terms are multiplied by, by name.
    """

    def __init__(self, likelihoods: Mapping[str, Likelihood], preference: Mapping[str, float]) -> None:
        super().__init__(
            {name: replace(one, preference=preference.get(name, 1.0)) for name, one in likelihoods.items()}
        )


def preferred(study: Study, task: str, strength: float) -> TrainConfig:
    """Return the configuration in which a task is preferred."""
    weighting = "multisigma.experiments.optimal_weighting.PreferredWeighting"
    return study.config(weighting, options={"preference": {task: strength}})


def points(study: Study) -> dict[str, TrainConfig]:
    """Return all weightings by name: fixed ones first, then the learned one, then preferences."""
    fixed = {_weights(weights): study.fixed(weights) for weights in [*table1.GRID, table1.PAPER_WEIGHTS]}
    fixed[_weights(dict.fromkeys(TASKS, 1 / 3))] = study.config("equal")
    preferences = {
        f"{task} x {strength:.2g}": preferred(study, task, strength) for task in TASKS for strength in STRENGTHS
    }
    return {**fixed, LEARNED: study.config(), **preferences}


def _weights(weights: Mapping[str, float]) -> str:
    return " / ".join(f"{weights[task]:.2g}" for task in TASKS)


def plan(study: Study) -> list[TrainConfig]:
    return [replace(c, seed=seed) for seed in range(1, study.seeds + 1) for c in points(study).values()]


def dominated_by(point: Sequence[float], others: Mapping[str, Sequence[float]]) -> list[str]:
    """Return which of the others are at least as good in every number and better in one; `MAIN` tells what is better.

    Example:
        >>> dominated_by([50.0, 3.0, 0.5], {"a": [51.0, 3.0, 0.4], "b": [51.0, 3.1, 0.4], "c": [50.0, 3.0, 0.5]})
        ['a']
    """

    def better(one: Sequence[float]) -> list[float]:
        return [v if key in HIGHER_IS_BETTER else -v for key, v in zip(MAIN, one, strict=True)]

    mine = better(point)
    return [
        name
        for name, other in others.items()
        if all(o >= m for o, m in zip(better(other), mine, strict=True)) and better(other) != mine
    ]


def page(study: Study) -> Page:
    made = Page("What is the optimal weighting?")
    made.text(
        "Section 6 of the paper asks whether there is one. A weighting is on the front if no other is as good in all "
        "three tasks and better in one. If several fixed weights are on the front, the question has no answer without "
        "a preference among tasks; a preference multiplies a task's term in the learned objective, which moves the "
        "result along the front or does not."
    )
    _, frames = study.frames()
    results = {name: study.found(study.of_seeds(config)) for name, config in points(study).items()}
    means = {name: [over_seeds(found, key, frames).mean for key in MAIN] for name, found in results.items() if found}
    rows = []
    for name, found in results.items():
        others = {other: values for other, values in means.items() if other != name}
        better = dominated_by(means[name], others) if name in means else []
        shown = "-" if name not in means else "; ".join(better) or "on the front"
        rows.append([name, *(estimate(over_seeds(found, key, frames)) for key in MAIN), shown])
    made.table(["weights " + " / ".join(TASKS), *HEADINGS, "worse in all than"], rows)
    made.text(
        "The last column compares means over seeds. Where intervals overlap, another set of seeds may put other "
        "weightings on the front."
    )
    pairs = list(itertools.combinations(range(3), 2))
    figure, axes = panels([f"{HEADINGS[i]} and {HEADINGS[j]}" for i, j in pairs])
    for axis, (i, j) in zip(axes, pairs, strict=True):
        for name, values in means.items():
            kind = 1 if name == LEARNED else 2 if " x " in name else 0
            axis.plot(values[i], values[j], "o*^"[kind], color=PALETTE[kind], markersize=(6, 13, 7)[kind])
        for kind, label in enumerate(("fixed", "learned", "learned with a preference")):
            axis.plot([], [], "o*^"[kind], color=PALETTE[kind], label=label)
        axis.set_xlabel(HEADINGS[i])
        axis.set_ylabel(HEADINGS[j])
    legend(axes[0])
    made.plot("front", figure, "Means over seeds. Up is better for IoU, down for the errors.")
    made.heading("Does a preference move the result?")
    rows = [
        [f"{task} x {strength:.2g}", *paired_gains(results[f"{task} x {strength:.2g}"], results[LEARNED], frames)]
        for task in TASKS
        for strength in STRENGTHS
    ]
    made.table(["preference", *GAINS], rows)
    made.text("Gain over learned weights without a preference, paired by seed; positive is better.")
    add_origin(made, "optimal_weighting", study)
    return made
