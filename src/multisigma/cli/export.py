"""`multisigma export`: write a model for other runtimes."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import print_line
from multisigma.cli.options import add_model, add_trust_code, load_model
from multisigma.training.config import Size


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Write a model as ONNX (FILE.onnx) or as a program of torch.export (FILE.pt2). It takes RGB from "
        "0 to 255 as uint8, named rgb, and gives an output for each task, by the task's name."
    )
    add_model(parser, "model")
    parser.add_argument("--out", type=Path, required=True, help="file to write, which ends in .onnx or .pt2")
    parser.add_argument("--size", type=Size | None, default=None, help="fixed size HxW; any size if not given")
    parser.add_argument("--batch", type=int | None, default=None, help="images at a time; any number if not given")
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Write the file."""
    from multisigma.models.export import export_model

    model = load_model(options.model, "cpu", options.trust_code)
    size = (options.size.height, options.size.width) if options.size else None
    export_model(model, options.out, size, options.batch)
    print_line(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, outputs {', '.join(model.info.outputs)}")
