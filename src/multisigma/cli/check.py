"""`multisigma check`: list every fault of a data set."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import console, make_progress, print_line, print_warning
from multisigma.errors import MultisigmaError


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Go over a whole data set and list every fault.")
    parser.add_argument("data", type=str, help="root of the data, YAML file, or class")
    return parser


def run(options: Namespace) -> None:
    """Check the root; raise `MultisigmaError` with all faults."""
    from multisigma.datasets.check import check_data

    report = check_data(options.data, make_progress())
    if report.splits:
        console.print(report.table())
    for warning in report.warnings:
        print_warning(warning)
    if report.problems:
        raise MultisigmaError("\n".join([_count(len(report.problems), "fault"), *map(str, report.problems)]))
    print_line(f"no faults, but {_count(len(report.warnings), 'warning')}" if report.warnings else "no faults")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
