"""Figure 2 of the paper: two tasks over a grid of weights, and learned weights."""

from __future__ import annotations

from collections.abc import Sequence

from multisigma.experiments.page import Page, add_origin, estimate, number
from multisigma.experiments.plots import COLOURS, legend, panels
from multisigma.experiments.results import METRICS
from multisigma.experiments.statistics import over_seeds, paired, score
from multisigma.experiments.study import Study
from multisigma.training.config import TrainConfig

SEEDS = 3
# The weight of the first task, then the paper's values for it and for depth on Tiny Cityscapes.
PAPER: dict[str, list[tuple[float, float | None, float | None]]] = {
    "semantic": [
        (1.0, 59.4, None),
        (0.975, 59.5, 0.664),
        (0.95, 59.9, 0.603),
        (0.9, 60.1, 0.586),
        (0.85, 60.4, 0.582),
        (0.8, 59.6, 0.577),
        (0.7, 59.0, 0.573),
        (0.5, 56.3, 0.602),
        (0.2, 47.2, 0.625),
        (0.1, 42.7, 0.628),
        (0.0, None, 0.640),
    ],
    "instance": [
        (1.0, 4.61, None),
        (0.75, 4.52, 0.692),
        (0.5, 4.30, 0.655),
        (0.4, 4.14, 0.641),
        (0.3, 4.04, 0.615),
        (0.2, 3.83, 0.607),
        (0.1, 3.91, 0.600),
        (0.05, 4.27, 0.607),
        (0.025, 4.31, 0.624),
        (0.0, None, 0.640),
    ],
}
LEARNED = {"semantic": (62.7, 0.533), "instance": (3.54, 0.539)}
HEADINGS = {"semantic": "IoU %", "instance": "instance px", "depth": "depth px"}


def grid(study: Study, task: str) -> list[TrainConfig]:
    """Return the runs of one grid, with the seed for choices."""
    return [study.fixed({task: weight, "depth": 1 - weight}, seed=0) for weight, *_ in PAPER[task]]


def best(study: Study, task: str) -> float | None:
    """Return the weight of both tasks that is best on the frames to choose on; None before all have run."""
    weights = [weight for weight, *_ in PAPER[task]]
    results = [study.find(config) for config in grid(study, task)]
    if not all(results):
        return None
    choose, _ = study.frames()
    scores = {w: score(r, choose) for w, r in zip(weights, results, strict=True) if r and 0 < w < 1}
    return max(scores, key=scores.__getitem__)


def learned(study: Study, task: str) -> list[TrainConfig]:
    """Return the runs with learned weights."""
    return study.of_seeds(study.config(tasks=[task, "depth"]))


def best_of_grid(study: Study, task: str) -> list[TrainConfig]:
    """Return the runs of the best weights; none before they are known."""
    weight = best(study, task)
    return [] if weight is None else study.of_seeds(study.fixed({task: weight, "depth": 1 - weight}))


def plan(study: Study) -> list[TrainConfig]:
    return [config for task in PAPER for part in (grid, learned, best_of_grid) for config in part(study, task)]


def page(study: Study) -> Page:
    made = Page("Figure 2: two tasks over a grid of weights")
    made.text(
        "How much do two tasks depend on their weights, and do learned weights beat the best of the grid? All runs "
        "have one learning rate, as in the paper. The grid has one seed. Its best point is chosen on one half of the "
        "frames and trained again with other seeds; it and the learned weights are reported on the other half."
    )
    for task in PAPER:
        _add_grid(made, study, task)
    add_origin(made, "figure2", study)
    return made


def _add_grid(page: Page, study: Study, task: str) -> None:
    _, frames = study.frames()
    keys = {name: METRICS[name][0] for name in (task, "depth")}
    page.heading(f"{task.capitalize()} and depth")
    values = [
        [result.value(key, frames) if result else float("nan") for key in keys.values()]
        for result in map(study.find, grid(study, task))
    ]
    rows: list[Sequence[str]] = [
        [f"{weight:g}", f"{1 - weight:g}", *map(number, found), *(f"{p:g}" if p else "-" for p in paper)]
        for (weight, *paper), found in zip(PAPER[task], values, strict=True)
    ]
    chosen, ours = study.found(best_of_grid(study, task)), study.found(learned(study, task))
    at = best(study, task)
    for name, found, paper in (
        (f"best of the grid ({at:g})" if at else "best of the grid", chosen, ()),
        ("learned", ours, LEARNED[task]),
    ):
        estimates = [estimate(over_seeds(found, key, frames)) for key in keys.values()]
        rows.append([f"**{name}**", "", *estimates, *([f"{p:g}" for p in paper] or ["-", "-"])])
    headings = [HEADINGS[name] for name in keys]
    page.table([f"weight of {task}", "of depth", *headings, *(f"paper: {h}" for h in headings)], rows)
    differences = [f"{HEADINGS[name]} {estimate(paired(ours, chosen, key, frames), 3)}" for name, key in keys.items()]
    page.text(f"Learned minus best of the grid, paired by seed: {', '.join(differences)}.")
    figure, axes = panels([HEADINGS[name] for name in keys], 2)
    for column, (axis, (name, key)) in enumerate(zip(axes, keys.items(), strict=True)):
        weights = [weight for weight, *_ in PAPER[task]]
        axis.plot(weights, [row[column] for row in values], "o-", color=COLOURS[name], label="fixed weights")
        mean, low, high = over_seeds(ours, key, frames)
        axis.axhline(mean, color="k", label="learned")
        if low == low:
            axis.axhspan(low, high, color="k", alpha=0.1)
        axis.set_xlabel(f"weight of {task}")
        legend(axis)
    page.plot(task, figure, f"Figure 2, {task} and depth. The band is the interval of learned weights over seeds.")
