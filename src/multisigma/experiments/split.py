"""Question 2 of section 6: where should the encoder split into branches of the tasks?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from multisigma.experiments.comparison import HEADINGS, MAIN
from multisigma.experiments.page import Page, add_origin, estimate, number
from multisigma.experiments.plots import legend, panels
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import gain_over_seeds, over_seeds
from multisigma.experiments.study import Study
from multisigma.training.config import TrainConfig

SEEDS = 3
# What the tasks share; the encoders of the budgets have five stages.
SPLITS: dict[str, int | None] = {
    "the stem": 1,
    "two stages": 2,
    "three stages": 3,
    "four stages": 4,
    "the encoder": 5,
    "encoder and ASPP (the paper)": None,
}
PAPER = "encoder and ASPP (the paper)"


def at_equal_iterations(study: Study, name: str) -> TrainConfig:
    """Return the configuration of a split. No part of the encoder is frozen, and no fine features join."""
    return study.config(shared_stages=SPLITS[name], frozen_stride=0, skip_channels=0)


def at_equal_compute(study: Study, name: str) -> TrainConfig | None:
    """Return the configuration with as many iterations as the paper's split has time for in multiply-adds.

    None before both splits have a result, which holds the multiply-adds.
    """
    found = [study.found([at_equal_iterations(study, split)]) for split in (name, PAPER)]
    if name == PAPER or not all(found):
        return None
    mine, papers = (results[0].provenance["multiply_adds"] for results in found)
    iterations = max(1, round(study.budget.config.iterations * papers / mine))
    return replace(at_equal_iterations(study, name), iterations=iterations)


def plan(study: Study) -> list[TrainConfig]:
    configs = [at_equal_iterations(study, name) for name in SPLITS]
    configs += [config for name in SPLITS if (config := at_equal_compute(study, name))]
    return [replace(config, seed=seed) for seed in range(1, study.seeds + 1) for config in configs]


def page(study: Study) -> Page:
    made = Page("Where to split the network into branches")
    made.text(
        "Section 6 asks where the shared encoder should split, and how deep the shared part should be. Here the tasks "
        "share the encoder's first stages, and each has the rest and an ASPP for itself. A later split has fewer "
        "parameters and multiply-adds, so that two comparisons are needed: with the same iterations, and with the same "
        "multiply-adds of the whole training."
    )
    equal = {name: study.found(study.of_seeds(at_equal_iterations(study, name))) for name in SPLITS}
    made.heading("The same iterations")
    _add_table(made, study, equal, equal[PAPER])
    made.heading("The same multiply-adds of the training")
    configs = {name: at_equal_compute(study, name) for name in SPLITS}
    compute = {name: study.found(study.of_seeds(config)) for name, config in configs.items() if config}
    _add_table(made, study, compute | {PAPER: equal[PAPER]}, equal[PAPER])
    made.text(
        "Gain: over the three tasks, against the paper's split with the same seed. Seconds per iteration are those of "
        "the training on a machine with other work; multiply-adds are of one image."
    )
    _, frames = study.frames()
    figure, axes = panels(list(HEADINGS))
    for axis, key in zip(axes, MAIN, strict=True):
        for label, results in (("same iterations", equal), ("same compute", compute)):
            points = [
                (_median(found, "multiply_adds") / 1e9, over_seeds(found, key, frames).mean)
                for found in results.values()
                if found
            ]
            if points:
                axis.plot(*zip(*sorted(points), strict=True), "o-", label=label)
        axis.set_xlabel("multiply-adds of one image, billions")
    legend(axes[0])
    made.plot("split", figure, "Means over seeds. The leftmost point is the paper's split.")
    add_origin(made, "split", study)
    return made


def _add_table(page: Page, study: Study, results: dict[str, list[Result]], base: Sequence[Result]) -> None:
    _, frames = study.frames()
    rows = []
    for name, found in results.items():
        iterations = found[0].config.iterations if found else "-"
        seconds = [r.provenance["training_seconds"] / r.config.iterations for r in found]
        rows.append(
            [
                name,
                number(_median(found, "parameters") / 1e6, 3),
                number(_median(found, "multiply_adds") / 1e9, 3),
                iterations,
                number(statistics.median(seconds), 2) if seconds else "-",
                *(estimate(over_seeds(found, key, frames)) for key in MAIN),
                "0" if found and found is base else estimate(gain_over_seeds(found, base, MAIN, frames), 3),
            ]
        )
    columns = ["shared", "parameters, M", "multiply-adds, G", "iterations", "s / iteration", *HEADINGS, "mean gain, %"]
    page.table(columns, rows)


def _median(results: Sequence[Result], key: str) -> float:
    return statistics.median(r.provenance[key] for r in results) if results else float("nan")
