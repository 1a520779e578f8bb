"""`multisigma prepare`: make a smaller or a packed copy of a data set."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import make_progress, print_line
from multisigma.training.config import Size


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Make a copy of a data set: smaller, such as Tiny Cityscapes, or packed.")
    parser.add_argument("data", type=str, help="root of the data, YAML file, or class")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument(
        "--size", type=Size | None, default=None, help="size of the copies, HxW; 128x256, or the frames' own if packed"
    )
    parser.add_argument(
        "--packed", action="store_true", help="write arrays that are read without decoding; always so unless Cityscapes"
    )
    return parser


def run(options: Namespace) -> None:
    """Make the copy."""
    from multisigma.datasets.prepare import prepare

    size = options.size and (options.size.height, options.size.width)
    packed = prepare(options.data, options.out, size, options.packed, make_progress())
    print_line(f"{'packed frames' if packed else 'frames'} in {options.out}")
