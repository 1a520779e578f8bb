"""`multisigma pack`: make a run's model ready to be shared."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import print_line
from multisigma.cli.options import add_trust_code
from multisigma.errors import MultisigmaError


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Write a run's model for others: weights in half precision, and MODEL_CARD.md with the run's own "
        "measurements. Evaluate the checkpoint first."
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="checkpoint to take")
    parser.add_argument(
        "--notes", type=Path | None, default=None, help="Markdown file to join to the card's limits, in UTF-8"
    )
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Write the folder."""
    # Here, because it takes seconds.
    from multisigma.reports.model_card import pack_model

    notes = ""
    if options.notes is not None:
        try:
            notes = options.notes.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MultisigmaError(
                f"{options.notes}: must be text in UTF-8. Found a fault: {error}. Name another."
            ) from error
    pack_model(options.run, options.out, options.checkpoint, notes, options.trust_code)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print_line(f"{options.out}: {size / 1e6:.1f} MB; read its MODEL_CARD.md before you share it")
