"""`multisigma demo`: generate street scenes, train on them, evaluate, report."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt
from rich.text import Text

from multisigma.cli.commands import run_command
from multisigma.cli.console import console
from multisigma.cli.options import add_votes
from multisigma.files import require_empty
from multisigma.training.config import TrainConfig


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Generate street scenes, train on them, evaluate, and write the report.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to make")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="seed of the scenes and of the training")
    add_votes(parser)
    return parser


def run(options: Namespace) -> None:
    """Run the commands that a user would type, one after the other; raise `MultisigmaError` if the folder is taken."""
    require_empty(options.out)
    # The training has the narrower rule, and comes last.
    TrainConfig(seed=options.seed)
    data, tiny, run, seed = (*(str(options.out / name) for name in ("data", "tiny", "run")), str(options.seed))
    for name, *arguments in (
        ["generate", data, "--train", "320", "--val", "24", "--size", "256x512", "--seed", seed],
        ["prepare", data, tiny, "--size", "128x256"],
        ["train", "--preset", "demo", "--data", tiny, "--out", run, "--seed", seed],
        ["evaluate", run, "--data", tiny, "--votes", options.votes],
        # Where hours of training lead, on the same frames.
        ["evaluate", run, "--data", tiny, "--model", "default", "--votes", options.votes],
        ["report", run],
    ):
        console.rule(Text(f"multisigma {' '.join([name, *arguments])}"), align="left")
        run_command(name, arguments)
