"""`multisigma experiment`: do the runs of an experiment that are missing, and write its page."""

import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from multisigma.cli.console import make_progress, print_line
from multisigma.cli.options import add_trust_code
from multisigma.experiments.budgets import BUDGETS
from multisigma.training.config import Names

EXPERIMENTS = {
    "table1": "single tasks, fixed weights and learned weights (table 1)",
    "figure2": "two tasks over a grid of weights, and learned weights (figure 2)",
    "table2": "the model that ships, and others, in the layout of table 2",
    "figure4": "objects in several parts, by votes and by a watershed (figure 4)",
    "figure5": "smoothness of depth in company, and errors in place (figure 5, appendix D)",
    "figure9": "best, random and worst frames of a model (figures 8 and 9)",
    "figure6": "the noise from different starts (figure 6)",
    "figure7": "noise, losses, weights and effective rates over the training (figure 7)",
    "units": "other units of depth and vectors, with weights as they were (section 1)",
    "weightings": "every weighting of the library, beside published comparisons",
    "likelihoods": "what the right likelihood is worth (section 3.2)",
    "label_noise": "noise in one task's labels",
    "optimal_weighting": "the front of fixed weights, learned weights, preferences (section 6)",
    "relations": "which tasks help each other, and whether gradients tell (section 6)",
    "split": "where the network splits into branches of the tasks (section 6)",
    "optimum": "the noise of every likelihood at its optimum; no data (section 3.2)",
    "verdicts": "each claim of the paper with a verdict, from the results in the folder",
}
"""A summary of each experiment, by the name of its module."""


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    names = "; ".join(f"{name}: {summary}" for name, summary in EXPERIMENTS.items())
    parser = ArgumentParser(
        description="Do the runs of an experiment that are missing in a folder, and write its page there. Several "
        "processes and machines may share the folder."
    )
    parser.add_argument("name", choices=tuple(EXPERIMENTS), help=names)
    parser.add_argument(
        "--data",
        type=str | None,
        default=None,
        help="root of the data; if not given, the page is made from what is there",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results, which experiments may share")
    parser.add_argument("--budget", choices=tuple(BUDGETS), default="cpu", help="size of the runs")
    parser.add_argument("--seeds", type=PositiveInt | None, default=None, help="seeds that are reported")
    parser.add_argument(
        "--protocol",
        choices=("tuned", "paper"),
        default="tuned",
        help="tuned: each method chooses from the same learning rates; paper: all have one, as in the paper",
    )
    parser.add_argument(
        "--models",
        type=Names,
        default=Names("default"),
        help="finished models for table2, figure4 and figure9: run folders or saved models, with commas; 'default' for "
        "the one that multisigma ships",
    )
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="processes that do runs")
    parser.add_argument(
        "--ray",
        type=str | None,
        default=None,
        help="address of a Ray cluster that does the runs in --jobs workers, which share --out: local, auto, "
        "ray://HOST:PORT",
    )
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Do the runs and write the page."""
    # Here, because it takes seconds.
    from multisigma.experiments.ray_cluster import work_on_ray
    from multisigma.experiments.study import Study, make_page, run_study

    experiment: Any = importlib.import_module(f"multisigma.experiments.{options.name}")
    seeds = options.seeds or experiment.SEEDS
    tuned = options.protocol == "tuned"
    study = Study(
        options.out, options.budget, seeds, options.data, options.trust_code, tuned=tuned, models=options.models.values
    )
    if options.data is not None:
        elsewhere = partial(work_on_ray, address=options.ray) if options.ray else None
        run_study(experiment, study, options.jobs, make_progress(), elsewhere)
    place = options.out / f"{options.name}{'' if tuned else '-one-rate'}.md"
    make_page(experiment, study).write(place)
    print_line(f"the page is {place}")
