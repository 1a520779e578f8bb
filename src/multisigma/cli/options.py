"""Options that several commands have."""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

if TYPE_CHECKING:
    from multisigma.models import SceneModel


def add_votes(parser: ArgumentParser) -> None:
    """Add the option of a command that clusters votes."""
    parser.add_argument(
        "--votes",
        choices=("default", "paper"),
        default="default",
        help="how votes become instances: 'default' clusters each class by itself; 'paper' clusters all classes "
        "together with a plain cut, each pixel to the nearest centre",
    )


def add_trust_code(parser: ArgumentParser) -> None:
    """Add the option of a command that may meet the code of a stranger."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="run the code of tasks, weightings and data sets that are not built in and that you have not named here",
    )


def load_model(folder: Path | None, device: str | None = None, trust_code: bool = False) -> "SceneModel":
    """Load the model in a folder; the one that the package ships if there is no folder."""
    # Here, because it takes seconds.
    from multisigma.models import SceneModel

    return SceneModel.default(device) if folder is None else SceneModel.load(folder, device, trust_code)
