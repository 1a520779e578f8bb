"""Options that several commands have."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    from multisigma.datasets import Camera
    from multisigma.models import DistanceCalibration, ModelInfo, SceneModel


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


def add_model(parser: ArgumentParser, name: str = "--model") -> None:
    """Add the model of a command, as an option or, under the name 'model', as an argument; `load_model` takes it."""
    count: dict[str, Any] = {} if name.startswith("--") else {"nargs": "?"}
    parser.add_argument(
        name,
        type=Path | None,
        default=None,
        help="run folder, or a saved model; the small one that multisigma ships if not given",
        **count,
    )


def add_device(parser: ArgumentParser) -> None:
    """Add the option of a command that computes where it is told to."""
    parser.add_argument(
        "--device", type=str | None, default=None, help="cpu, cuda, mps, ...; CUDA, else MPS, else the CPU if not given"
    )


def load_model(folder: Path | None, device: str | None = None, trust_code: bool = False) -> "SceneModel":
    """Load the model in a folder; the one that the package ships if there is no folder."""
    # Here, because it takes seconds.
    from multisigma.models import SceneModel

    return SceneModel.default(device) if folder is None else SceneModel.load(folder, device, trust_code)


def add_camera(parser: ArgumentParser) -> None:
    """Add the options that describe the camera of pictures."""
    parser.add_argument(
        "--camera",
        type=Path | None,
        default=None,
        help="camera file, for depth in metres: Cityscapes' JSON, KITTI's text, OpenCV's or ROS's YAML, or `fx: 500`",
    )
    parser.add_argument(
        "--fov", type=float | None, default=None, help="horizontal field of view in degrees, in place of a camera file"
    )


@dataclass(frozen=True)
class GivenCamera:
    """The camera that a command was given.

    Args:
        file: The camera file, if one was given.
        degrees: The horizontal field of view, if one was given.
    """

    file: Path | None
    degrees: float | None

    @classmethod
    def of(cls, options: Namespace) -> "GivenCamera":
        """Return what the options of `add_camera` say; raise `MultisigmaError` if they contradict each other."""
        if options.camera is not None and options.fov is not None:
            raise MultisigmaError("Options --camera and --fov exclude each other. Found both. Leave one out.")
        if options.fov is not None and not 0 < options.fov < 180:
            raise MultisigmaError(f"Option --fov must be above 0 and below 180 degrees. Found {options.fov:g}.")
        given = cls(options.camera, options.fov)
        # Read once before anything slow, so that a fault in the file shows at once.
        if given.file is not None:
            from multisigma.datasets.cameras import require_camera_file

            require_camera_file(given.file)
        return given

    def __bool__(self) -> bool:
        return self.file is not None or self.degrees is not None

    def camera(self, size: tuple[int, int], info: "ModelInfo") -> "Camera | None":
        """Return the camera of an image; None if none was given.

        Args:
            size: Height and width of the image.
            info: The model, whose baseline holds if the file has none.
        """
        from multisigma.datasets import Camera
        from multisigma.datasets.cameras import DEFAULT_BASELINE, read_camera_file

        baseline = info.camera.baseline if info.camera else DEFAULT_BASELINE
        if self.file is not None:
            return read_camera_file(self.file, size, baseline)
        if self.degrees is not None:
            return Camera.from_field_of_view(self.degrees, size, baseline)
        return None

    def doubt(self, info: "ModelInfo", calibration: "DistanceCalibration | None") -> str | None:
        """Return a warning if metres rest on an assumption; None otherwise."""
        if not self or info.camera is not None or calibration is not None:
            return None
        return (
            "distances are right only up to a factor: the model does not know the baseline of the camera that it "
            "learned with. Measure a few distances: multisigma calibrate"
        )
