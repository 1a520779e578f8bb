"""`multisigma prepare`: make a smaller copy of a root."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import make_progress, print_line
from multisigma.training.config import Size


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Make a smaller copy of a root, such as Tiny Cityscapes.")
    parser.add_argument("root", type=Path, help="root of the data")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--size", type=Size, default=Size(128, 256), help="size of the copies, HxW")
    return parser


def run(options: Namespace) -> None:
    """Make the copy."""
    from multisigma.datasets.prepare import prepare

    prepare(options.root, options.out, options.size.height, options.size.width, make_progress())
    print_line(f"frames of {options.size} in {options.out}")
