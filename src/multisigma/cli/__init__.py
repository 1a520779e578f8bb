"""The command line: a file per command, which parses, calls and prints. Each loads only the modules that it needs."""

import argparse
import sys
from collections.abc import Sequence

from multisigma import __doc__ as description
from multisigma import __version__
from multisigma.errors import MultisigmaError

try:
    from multisigma.cli.commands import COMMANDS, run_command
    from multisigma.cli.console import errors, print_problem
except ModuleNotFoundError as missing:
    sys.exit(f"The command line needs the extra 'scene' (found no {missing.name}): pip install 'multisigma[scene]'")

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit status: 0, or 2 for bad input, or 130 after an interruption.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # No option that stands before the command takes a value.
    first = next((i for i, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    command = make_parser().parse_args(arguments[: first + 1]).command
    try:
        run_command(command, arguments[first + 1 :])
    except MultisigmaError as error:
        print_problem("error:", "bold red", error)
        return 2
    except PermissionError as error:
        # Raised by other libraries, such as the loggers, or by a test whether a file exists.
        rule = "must be open to you"
        print_problem(
            "error:", "bold red", f"{error.filename}: {rule}; found {error.strerror}. Change its permissions."
        )
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted", style="bold red")
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of what stands up to the command's name; each command has a parser of its own for the rest."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="multisigma",
        usage="multisigma [--help] [--version] COMMAND ...",
        description=description,
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {summary}\n" for name, summary in COMMANDS.items())
        + "\n`multisigma COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser
