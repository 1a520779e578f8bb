"""The commands by name. Each is a module of this package with `make_parser` and `run`."""

import importlib
import re
from collections.abc import Sequence

from jsonargparse.typing import register_type

from multisigma.cli.arguments import parse
from multisigma.cli.console import console
from multisigma.training.config import Names, Size

register_type(Size, str, Size.parse)
register_type(Names, str, Names.parse)

COMMANDS = {
    "generate": "make street scenes in the Cityscapes format",
    "check": "list every fault of a root",
    "prepare": "make a smaller or a packed copy of a data set",
    "train": "train the network",
    "evaluate": "measure a trained run on a split",
    "predict": "predict pictures of your own",
    "calibrate": "fit a model's distances to a few that were measured",
    "serve": "a web page that reads pictures and videos",
    "export": "write a model as ONNX or as a program of torch.export",
    "pack": "make a run's model ready to be shared, with a model card",
    "report": "write a run's report",
    "diagnose": "losses and gradients of a run's tasks, and which weighting to try first",
    "experiment": "the paper's experiments, with equal tuning and intervals",
    "demo": "the whole way on generated scenes, in minutes",
}
"""A summary of each command, by name."""


def run_command(name: str, arguments: Sequence[str]) -> None:
    """Run a command.

    Args:
        name: Name of the command.
        arguments: What stands after the name.

    Raises:
        MultisigmaError: An argument, or what it names, is at fault.
        SystemExit: The arguments ask for help, which was shown.
    """
    # The field `weighting_options` is a mapping, and jsonargparse takes one key of it by this name.
    arguments = [re.sub(r"^--weighting\.", "--weighting-options.", argument) for argument in arguments]
    command = importlib.import_module(f"multisigma.cli.{name}")
    parser = command.make_parser(arguments)
    parser.prog = f"multisigma {name}"
    options = parse(parser, arguments)
    console.quiet |= options.quiet
    command.run(options)
