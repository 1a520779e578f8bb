"""`multisigma experiment`: do the runs of an experiment that are missing, and write its page."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from multisigma.cli.console import make_progress, print_line
from multisigma.cli.options import add_trust_code

EXPERIMENTS = {
    "table1": "single tasks, fixed weights and learned weights (table 1)",
    "figure2": "two tasks over a grid of weights, and learned weights (figure 2)",
    "figure6": "the noise from different starts (figure 6)",
    "figure7": "noise, losses, weights and effective rates over the training (figure 7)",
    "units": "other units of depth and vectors, with weights as they were (section 1)",
    "weightings": "every weighting of the library, beside published comparisons",
    "likelihoods": "what the right likelihood is worth (section 3.2)",
    "label_noise": "noise in one task's labels",
    "optimal_weighting": "the front of fixed weights, learned weights, preferences (section 6)",
    "relations": "which tasks help each other, and whether gradients tell (section 6)",
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
    parser.add_argument("--budget", choices=("smoke", "cpu", "gpu", "paper"), default="cpu", help="size of the runs")
    parser.add_argument("--seeds", type=PositiveInt | None, default=None, help="seeds that are reported")
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="processes that do runs")
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Do the runs and write the page."""
    # Here, because it takes seconds.
    from multisigma.experiments.study import Study, make_page, run_study

    experiment: Any = importlib.import_module(f"multisigma.experiments.{options.name}")
    seeds = options.seeds or experiment.SEEDS
    study = Study(options.out, options.budget, seeds, options.data, options.trust_code)
    if options.data is not None:
        run_study(experiment, study, options.jobs, make_progress())
    place = options.out / f"{options.name}.md"
    make_page(experiment, study).write(place)
    print_line(f"the page is {place}")
