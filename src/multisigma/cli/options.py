"""Options that several commands have."""

from jsonargparse import ArgumentParser


def add_votes(parser: ArgumentParser) -> None:
    """Add the option of a command that clusters votes."""
    parser.add_argument(
        "--votes",
        choices=("default", "paper"),
        default="default",
        help="how votes become instances: 'default' clusters each class by itself; 'paper' clusters all classes "
        "together with a plain cut, each pixel to the nearest centre",
    )
