"""`multisigma report`: write the report of a run."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import print_line


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(description="Write RUN/report.html: the numbers, curves and pictures of a run.")
    parser.add_argument("run", type=Path, help="run folder")
    return parser


def run(options: Namespace) -> None:
    """Write the report."""
    from multisigma.reports.report import write_report

    print_line(f"open {write_report(options.run).absolute().as_uri()}")
