"""Table 1 of the paper: single tasks, fixed weights and learned weights."""

from __future__ import annotations

from collections.abc import Mapping

from multisigma.experiments.comparison import add_comparison, add_differences, mean_last_weights
from multisigma.experiments.page import Page, add_origin
from multisigma.experiments.statistics import score
from multisigma.experiments.study import TASKS, Study
from multisigma.experiments.tuning import Method, add_tuning, chosen, reported, tuned_runs
from multisigma.training.config import TrainConfig

SEEDS = 5
PAPER_WEIGHTS = {"semantic": 0.89, "instance": 0.01, "depth": 0.1}
PAPER = {
    "segmentation only": (59.4, None, None),
    "instance only": (None, 4.61, None),
    "depth only": (None, None, 0.640),
    "unweighted sum": (50.1, 3.79, 0.592),
    "the paper's weights": (62.8, 3.61, 0.549),
    "learned, segmentation and instance": (61.0, 3.42, None),
    "learned, segmentation and depth": (62.7, None, 0.533),
    "learned, instance and depth": (None, 3.54, 0.539),
    "learned, all three": (63.4, 3.50, 0.522),
}
"""Table 1: IoU in per cent, instance error and inverse depth error in pixels, on Tiny Cityscapes."""
# A coarse grid over the simplex around equal weights, by factors of three to ten.
GRID = [
    {"semantic": 0.6, "instance": 0.2, "depth": 0.2},
    {"semantic": 0.2, "instance": 0.6, "depth": 0.2},
    {"semantic": 0.2, "instance": 0.2, "depth": 0.6},
    {"semantic": 0.45, "instance": 0.1, "depth": 0.45},
    {"semantic": 0.8, "instance": 0.1, "depth": 0.1},
    {"semantic": 0.1, "instance": 0.1, "depth": 0.8},
]
ALL = "learned, all three"


def grid_choice(study: Study) -> Mapping[str, float] | None:
    """Return the weights of the grid that are best on the frames to choose on; None before all have run."""
    results = [study.find(config) for config in grid(study)]
    if not all(results):
        return None
    choose, _ = study.frames()
    scores = [score(result, choose) for result in results if result]
    return GRID[scores.index(max(scores))]


def grid(study: Study) -> list[TrainConfig]:
    """Return the runs of the grid, at the middle learning rate with the seed for choices."""
    return [study.fixed(weights, seed=0) for weights in GRID]


def methods(study: Study) -> list[Method]:
    """Return the rows of the table; those that follow from other runs only when these are done."""
    learned = Method(ALL, study.config())
    rows = [
        Method("segmentation only", study.config("equal", ["semantic"])),
        Method("instance only", study.config("equal", ["instance"])),
        Method("depth only", study.config("equal", ["depth"])),
        Method("unweighted sum", study.config("equal")),
        Method("the paper's weights", study.fixed(PAPER_WEIGHTS)),
        Method("learned, segmentation and instance", study.config(tasks=["semantic", "instance"])),
        Method("learned, segmentation and depth", study.config(tasks=["semantic", "depth"])),
        Method("learned, instance and depth", study.config(tasks=["instance", "depth"])),
        learned,
    ]
    if weights := grid_choice(study):
        rows.append(Method("best weights of a coarse grid", study.fixed(weights)))
    if (config := chosen(study, learned)) and len(found := study.found(study.of_seeds(config))) == study.seeds:
        final = mean_last_weights(found)
        # Their sum is kept, because it is part of the effective learning rate.
        frozen = study.config("fixed", TASKS, options={"weights": final})
        rows.append(Method("frozen at the learned final values", frozen))
    return rows


def plan(study: Study) -> list[TrainConfig]:
    return grid(study) + tuned_runs(study, methods(study))


def page(study: Study) -> Page:
    rows = {method.name: method for method in methods(study)}
    results = {name: reported(study, method) for name, method in rows.items()}
    made = Page("Table 1: single tasks, fixed weights, learned weights")
    made.text(
        "Does a network of three tasks with learned weights beat three networks, equal weights, and the best weights "
        "of a grid? The weights of learned rows are their last ones. 'Frozen at the learned final values' trains "
        "with these from the start. It separates two explanations of section 5.1: if it is as good as learned "
        "weights, the grid was too coarse; if it is worse, weights must change during training."
    )
    singles = {task: results[name] for task, name in zip(TASKS, list(rows)[:3], strict=True)}
    add_comparison(made, study, results, singles, PAPER)
    made.heading("Learned weights for all three tasks against each other row")
    add_differences(made, study, results, ALL)
    add_tuning(made, study, list(rows.values()))
    add_origin(made, "table1", study)
    return made
