"""The command line: a file per command, which parses, calls and prints. Each loads only the modules that it needs."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence

from multisigma import __doc__ as description
from multisigma import __version__
from multisigma.errors import MultisigmaError
from multisigma.signals import Terminated, exit_status, handled_signals

try:
    from multisigma.cli.arguments import QUIET_HELP, did_you_mean
    from multisigma.cli.commands import COMMANDS, run_command
    from multisigma.cli.console import print_error, shown_messages
except ModuleNotFoundError as missing:
    sys.exit(f"The command line needs the extra 'scene' (found no {missing.name}): pip install 'multisigma[scene]'")

__all__ = ["main", "use_utf8"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit status: 0; or 2 for bad input, or a disk or a permission that is missing; or that of
        `multisigma.signals.exit_status` after a signal, 130 after an interruption.
    """
    if argv is None:
        use_utf8()
    arguments = list(sys.argv[1:] if argv is None else argv)
    # No option that stands before the command takes a value.
    first = next((i for i, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    before, after = arguments[:first], arguments[first + 1 :]
    with shown_messages(), handled_signals(_end):
        try:
            options, unknown = make_parser().parse_known_args(before)
            if unknown:
                raise MultisigmaError(f"There is no option {unknown[0]} before the command. See `multisigma --help`.")
            quiet = ["--quiet"] if options.quiet else []
            run_command(find_command(arguments[first : first + 1]), quiet + after)
        except MultisigmaError as error:
            print_error(error)
            return error.status
        except BrokenPipeError:
            # Nobody reads the output, such as after `| head`. Python would complain when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return exit_status(getattr(signal, "SIGPIPE", 13))
        except OSError as error:
            # Raised by other libraries, such as the loggers, or by a test whether a file exists.
            if isinstance(error, PermissionError):
                rule, remedy = "must be open to you", "Change its permissions."
            else:
                rule, remedy = "must be readable, or there must be room for it", "Make room, or check the disk."
            print_error(f"{error.filename or 'a file'}: {rule}; found {error.strerror or error}. {remedy}")
            return 2
        except Terminated as error:
            print_error(f"stopped by {error.number.name}")
            return exit_status(error.number)
        except KeyboardInterrupt:
            print_error("interrupted")
            return exit_status(signal.SIGINT)
    return 0


def _end(number: signal.Signals) -> None:
    raise Terminated(number)


def use_utf8() -> None:
    """Start the process again in Python's UTF-8 mode if the locale's encoding of paths is another."""
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A pipe on Windows has the encoding of the locale.
            stream.reconfigure(errors="replace")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of what stands before the command's name; each command has a parser of its own."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="multisigma",
        usage="multisigma [--help] [--version] [--quiet] COMMAND ...",
        description=description,
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {summary}\n" for name, summary in COMMANDS.items())
        + "\n`multisigma COMMAND --help` lists the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--quiet", action="store_true", help=QUIET_HELP)
    return parser


def find_command(given: Sequence[str]) -> str:
    """Return the name of the command that was given; raise `MultisigmaError` if there is none."""
    if not given:
        raise MultisigmaError(f"A command must be given, one of {', '.join(COMMANDS)}. See `multisigma --help`.")
    if given[0] not in COMMANDS:
        raise MultisigmaError(
            f"The command must be one of {', '.join(COMMANDS)}. Found {given[0]!r}.{did_you_mean(given[0], COMMANDS)}"
        )
    return given[0]
