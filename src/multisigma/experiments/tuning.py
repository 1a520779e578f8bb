"""Equal tuning: every method has the same grid of learning rates, and of temperatures if it has one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from multisigma.experiments.page import Page, number
from multisigma.experiments.results import METRICS, Result
from multisigma.experiments.statistics import score
from multisigma.experiments.study import Study
from multisigma.training.config import TrainConfig


@dataclass(frozen=True)
class Method:
    """A row of a table.

    Args:
        name: Its name there.
        config: Its configuration; learning rate and seed are set by the tuning.
        variants: Further options of the weighting to choose from, such as temperatures.
    """

    name: str
    config: TrainConfig
    variants: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ({},))


def candidates(study: Study, method: Method) -> list[TrainConfig]:
    """Return the configurations that a method is chosen from, with the seed for choices."""
    return [
        replace(
            method.config,
            learning_rate=rate,
            seed=0,
            weighting_options={**(method.config.weighting_options or {}), **variant} or None,
        )
        for rate in study.learning_rates
        for variant in method.variants
    ]


def chosen(study: Study, method: Method) -> TrainConfig | None:
    """Return the candidate with the best score on the frames to choose on; None before all have run.

    A single candidate is not run with the seed for choices.
    """
    possible = candidates(study, method)
    if len(possible) == 1:
        return possible[0]
    results = [study.find(config) for config in possible]
    if any(result is None for result in results):
        return None
    choose, _ = study.frames()
    scores = [score(result, choose) if result else -math.inf for result in results]
    return possible[scores.index(max(scores))]


def tuned_runs(study: Study, methods: Sequence[Method]) -> list[TrainConfig]:
    """Return the runs of methods: all candidates first, then the chosen ones with each seed."""
    first = [c for method in methods if len(found := candidates(study, method)) > 1 for c in found]
    best = [config for method in methods if (config := chosen(study, method))]
    return first + [config for seed in range(study.seeds) for config in _with_seed(best, seed + 1)]


def _with_seed(configs: Sequence[TrainConfig], seed: int) -> list[TrainConfig]:
    return [replace(config, seed=seed) for config in configs]


def reported(study: Study, method: Method) -> list[Result]:
    """Return the results of a method's chosen candidate, of each seed that is there."""
    config = chosen(study, method)
    return study.found(study.of_seeds(config)) if config else []


def add_tuning(page: Page, study: Study, methods: Sequence[Method]) -> None:
    """Add what each method chose from, with the main numbers on the frames to choose on."""
    if all(len(candidates(study, method)) == 1 for method in methods):
        return
    choose, _ = study.frames()
    rates = study.learning_rates
    page.heading("Choices")
    page.text(
        f"Each method chose its learning rate from {', '.join(f'{rate:g}' for rate in rates)} (and its temperature, "
        "where it has one) by the mean over tasks of the logarithm of the main number, with one seed that is not "
        "reported. A rate at the edge of the grid is marked: a longer grid might serve the method better."
    )
    rows = []
    for method in methods:
        best = chosen(study, method)
        for config in candidates(study, method):
            result = study.find(config)
            edge = config.learning_rate in (min(rates), max(rates))
            mark = "" if config != best else "chosen, at the edge" if edge else "chosen"
            values = [number(result.value(keys[0], choose)) if result else "-" for keys in METRICS.values()]
            variant = {
                k: v for k, v in (config.weighting_options or {}).items() if any(k in o for o in method.variants)
            }
            shown = ", ".join(f"{k} {v}" for k, v in variant.items())
            rows.append([method.name, f"{config.learning_rate:g}", shown, *values, mark])
    page.table(["method", "learning rate", "options", "IoU %", "instance px", "depth px", ""], rows)
