"""`multisigma diagnose`: losses and gradients of a run's tasks, and which weighting to try first."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from multisigma.cli.console import print_line
from multisigma.cli.options import add_trust_code


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Measure scales of the losses, gradient norms and cosines of a run's tasks on its validation "
        "frames, and write RUN/diagnosis.md with which weighting to try first."
    )
    parser.add_argument("run", type=Path, help="run folder; a short training is enough")
    parser.add_argument("--data", type=str, required=True, help="root of the data, YAML file, or class")
    parser.add_argument("--frames", type=PositiveInt, default=16, help="validation frames to measure on")
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Measure, print the advice and write the page."""
    from multisigma.experiments.diagnose import diagnose_run, diagnosis_page

    place = options.run / "diagnosis.md"
    found = diagnose_run(options.run, options.data, options.frames, options.trust_code)
    diagnosis_page(found).write(place)
    print_line(found.advice())
    print_line(f"the page is {place}")
