"""Every weighting of the library on the three tasks, with equal tuning, beside published comparisons."""

from __future__ import annotations

import csv
import importlib.util
import statistics
from pathlib import Path

from multisigma.experiments.comparison import add_comparison
from multisigma.experiments.page import Page, add_origin, number
from multisigma.experiments.study import TASKS, Study
from multisigma.experiments.tuning import Method, add_tuning, reported, tuned_runs
from multisigma.training.config import TrainConfig
from multisigma.training.weightings import WEIGHTINGS
from multisigma.weighting.gradient_aggregation import METHODS as AGGREGATORS

SEEDS = 3
_TEMPERATURES = [{"temperature": value} for value in (0.5, 1.0, 2.0)]
VARIANTS = {"dwa": _TEMPERATURES, "uw_so": _TEMPERATURES}
# 'uniform' is another name of 'imtl_l'; the others need options of their own.
LEFT_OUT = ("uniform", "fixed", "gradient_aggregation")
THREE_TASKS, TWO_TASKS = (Path(__file__).with_name(f"published_{n}_tasks.csv") for n in ("three", "two"))


def methods(study: Study) -> list[Method]:
    """Return the single tasks and all weightings; those of TorchJD only if it is installed."""
    has_torchjd = importlib.util.find_spec("torchjd") is not None
    names = [name for name in WEIGHTINGS if name not in LEFT_OUT and (has_torchjd or name not in AGGREGATORS)]
    singles = [Method(f"{task} only", study.config("equal", [task])) for task in TASKS]
    return singles + [Method(name, study.config(name), VARIANTS.get(name, [{}])) for name in names]


def plan(study: Study) -> list[TrainConfig]:
    return tuned_runs(study, methods(study))


def published(path: Path) -> list[dict[str, str]]:
    """Return the rows of a published comparison."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def page(study: Study) -> Page:
    made = Page("All weightings")
    made.text(
        "Every method of the library on the same three tasks, with the same grid of learning rates for each. Learned "
        "weights of methods that aggregate gradients are 1: they act on the gradients. These methods see the gradients "
        "at the features that the tasks share."
    )
    rows = methods(study)
    results = {method.name: reported(study, method) for method in rows}
    add_comparison(made, study, results, {task: results[f"{task} only"] for task in TASKS})
    made.heading("Time")
    seconds = {
        name: statistics.median(r.provenance["training_seconds"] / r.config.iterations for r in found)
        for name, found in results.items()
        if found
    }
    memory = {name: [r.provenance["peak_memory_mb"] for r in found] for name, found in results.items()}
    times = [
        [
            name,
            number(value, 3),
            number(value / seconds["equal"], 3) if seconds.get("equal") else "-",
            max(memory[name]) if all(memory[name]) else "-",
        ]
        for name, value in seconds.items()
    ]
    made.table(["method", "s / iteration", "over equal weights", "peak memory of the GPU, MB"], times)
    made.text(
        "Median over seeds of the whole training over its iterations, validation and logs included. Other processes "
        "ran on the same machine; docs/weighting-methods.md has times and memory measured alone."
    )
    made.heading("Published comparisons")
    three = [list(row.values()) for row in published(THREE_TASKS)]
    made.table(["three tasks: method", "weighting here", "mIoU %", "instance L1 px", "disparity MSE"], three)
    two = [list(row.values()) for row in published(TWO_TASKS)]
    made.table(["two tasks: method", "weighting here", "Δm %, lower is better"], two)
    made.text(
        "Cityscapes. Three tasks: table 1 of Aligned-MTL (Senushkin et al., CVPR 2023). Two tasks: table 3 of Nash-MTL "
        "(Navon et al., ICML 2022), where Δm is a loss. Networks, sizes and tuning differ, so no row compares "
        "with ours."
    )
    add_tuning(made, study, rows)
    add_origin(made, "weightings", study)
    return made
