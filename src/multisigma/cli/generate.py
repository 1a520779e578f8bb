"""`multisigma generate`: write a root of generated street scenes."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from multisigma.cli.console import make_progress, print_line
from multisigma.training.config import Size


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Write a root of generated street scenes in the Cityscapes format.")
    parser.add_argument("root", type=Path, help="folder to make")
    parser.add_argument("--train", type=NonNegativeInt, default=96, help="streets of the split 'train'")
    parser.add_argument("--val", type=NonNegativeInt, default=24, help="streets of the split 'val'")
    parser.add_argument(
        "--frames",
        type=PositiveInt,
        default=1,
        help="frames of each street; with more than 1 the camera drives through it, and objects keep their ids",
    )
    parser.add_argument("--size", type=Size, default=Size(256, 512), help="size of the frames, HxW")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="the same seed gives the same files")
    parser.add_argument("--processes", type=PositiveInt | None, default=None, help="processes; all cores if not given")
    return parser


def run(options: Namespace) -> None:
    """Generate the scenes."""
    from multisigma.synthetic import generate

    size = options.size
    generate(
        options.root,
        options.train,
        options.val,
        size.height,
        size.width,
        options.seed,
        options.processes,
        make_progress(),
        frames=options.frames,
    )
    print_line(f"{(options.train + options.val) * options.frames} frames of {size} in {options.root}")
