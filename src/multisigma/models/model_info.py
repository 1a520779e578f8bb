"""The description of a stored model without its weights: the content of `model.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import multisigma
from multisigma.class_paths import is_foreign
from multisigma.datasets.frame import Camera
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.files import parse_versioned_json, read_versioned_json, write_text
from multisigma.tasks import Task, load_tasks

__all__ = ["DEFAULT_FOLDER", "FORMAT_VERSION", "INFO_FILE", "ModelInfo"]

INFO_FILE: Final = "model.json"
"""Name of the file."""
DEFAULT_FOLDER: Final = Path(__file__).parents[1] / "weights"
"""The model that the package ships."""
SHIPPED: Final = "default"
"""The name of that model where a user names one."""

FORMAT_VERSION: Final = 1
"""Version of the layout of `model.json` that this release writes."""

_T = TypeVar("_T")
# Of channels, rows and the like; torch's own sizes overflow far above it.
_MOST: Final = 1_000_000
_REMEDY: Final = "Restore the file, or write the model again."
_OTHER_VERSION: Final = "Take the release of multisigma that wrote the model."


@dataclass(frozen=True)
class ModelInfo:
    """Everything that a model needs to predict, but its weights.

    Args:
        tasks: The tasks as in a configuration: built-in names, or a user's own as 'package.module.Class'.
        task_options: Options of the tasks' constructors, by task name.
        outputs: Output channels of each task, by task name, in the same order.
        working_height: Height in pixels to which images are brought: that of the frames that the model learned from.
        mean: Mean of red, green and blue that normalises an image, on the scale 0 to 255.
        std: Standard deviation likewise.
        encoder: Name of the timm encoder.
        output_stride: Its output stride.
        aspp_channels: Channels of each branch of the ASPP.
        dilations: Dilations of the ASPP.
        decoder_channels: Features of each decoder.
        decoder_kernel: First kernel of each decoder.
        skip_channels: Channels of the encoder's fine features that join the ASPP's; 0 for none.
        separable: Whether the 3x3 convolutions of ASPP and decoders are separable.
        shared_stages: Stages of the encoder that the tasks share; None if they share it and the ASPP.
        labels: The classes.
        sigmas: The noise scale that training has learned for each task's own likelihood, by task name; empty if the
            weighting learns none.
        noise_scales: Scale of each task's errors on validation frames at the working height, by task name, from its
            mean absolute error, whatever the weighting; without the tasks that have none.
        temperatures: Temperature of each task's classes, fitted on validation frames, by task name.
        score_calibrations: Slope and intercept that calibrate the scores of objects, fitted on validation frames, by
            task name; see `calibrate_scores`.
        calibration: How well calibrated the model is on validation frames: calibration errors and coverages of
            intervals in per cent, by the keys of `metrics.json`.
        camera: The camera of the frames that the model learned from, at the working height. Its baseline is that of
            the predicted disparities. None if the frames had no camera, or cameras of several baselines.
        multisigma_version: The release that made the model.
        weights_sha256: Checksum of the file of the weights, which `SceneModel.save` fills in; empty if it is not known.
    """

    tasks: tuple[str, ...]
    outputs: Mapping[str, int]
    working_height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    encoder: str
    output_stride: int = 8
    aspp_channels: int = 256
    dilations: tuple[int, ...] = (1, 12, 24, 36)
    decoder_channels: int = 256
    decoder_kernel: int = 3
    skip_channels: int = 0
    separable: bool = False
    shared_stages: int | None = None
    task_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: LabelSpace = CITYSCAPES
    sigmas: Mapping[str, float] = field(default_factory=dict)
    noise_scales: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    score_calibrations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    camera: Camera | None = None
    multisigma_version: str = multisigma.__version__
    weights_sha256: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `model.json`."""
        return {
            "format_version": FORMAT_VERSION,
            "multisigma_version": self.multisigma_version,
            "weights_sha256": self.weights_sha256,
            "tasks": list(self.tasks),
            "task_options": self.task_options,
            "outputs": dict(self.outputs),
            "working_height": self.working_height,
            "mean": list(self.mean),
            "std": list(self.std),
            "encoder": self.encoder,
            "output_stride": self.output_stride,
            "aspp_channels": self.aspp_channels,
            "dilations": list(self.dilations),
            "decoder_channels": self.decoder_channels,
            "decoder_kernel": self.decoder_kernel,
            "skip_channels": self.skip_channels,
            "separable": self.separable,
            "shared_stages": self.shared_stages,
            "sigmas": dict(self.sigmas),
            "noise_scales": dict(self.noise_scales),
            "temperatures": dict(self.temperatures),
            "score_calibrations": {name: list(pair) for name, pair in self.score_calibrations.items()},
            "calibration": dict(self.calibration),
            "camera": self.camera and asdict(self.camera),
            "labels": self.labels.to_json(),
        }

    def load_tasks(self, place: Path | str, trust_code: bool = False) -> list[Task]:
        """Load the tasks.

        Args:
            place: Where the description stands, for messages.
            trust_code: Import the classes of tasks that are not built in, which runs their author's code.

        Raises:
            MultisigmaError: A task is not built in and `trust_code` is false, or it cannot be loaded, or `outputs` is
                in another order.
        """
        custom = [name for name in self.tasks if is_foreign(name)]
        if custom and not trust_code:
            raise MultisigmaError(
                f"{place}: loading this model runs code of its author. Found the task {custom[0]!r}, which is not "
                "built in. If you trust it, load with trust_code=True, or on the command line with --trust-code."
            )
        try:
            tasks = load_tasks(self.tasks, self.task_options)
        except MultisigmaError as error:
            raise MultisigmaError(f"{place}: {error}") from error
        if [task.name for task in tasks] != list(self.outputs):
            raise MultisigmaError(f"{place}: `outputs` must be in the order of the tasks. Found {list(self.outputs)}.")
        return tasks

    def write(self, path: Path) -> None:
        """Write the file `model.json`; `read` takes it. Raises `MultisigmaError` if it cannot be written."""
        write_text(path, json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False))

    @classmethod
    def read(cls, path: Path) -> ModelInfo:
        """Read the file `model.json`.

        Raises:
            MultisigmaError: The file cannot be read, is of another version, or a field is missing or of the wrong type.
        """
        return cls._from_content(read_versioned_json(path, FORMAT_VERSION, _REMEDY, _OTHER_VERSION), path)

    @classmethod
    def parse(cls, text: str, place: Path | str) -> ModelInfo:
        """Parse the content of `model.json`, which an exported model carries too.

        Args:
            text: The content.
            place: Where it stands, for messages.

        Raises:
            MultisigmaError: As `read`.
        """
        return cls._from_content(parse_versioned_json(text, place, FORMAT_VERSION, _REMEDY, _OTHER_VERSION), place)

    @classmethod
    def _from_content(cls, content: Mapping[str, Any], path: Path | str) -> ModelInfo:
        # Models of earlier releases lack these.
        content = {"score_calibrations": {}, "calibration": {}} | dict(content)

        def get(name: str, rule: str, convert: Callable[[Any], _T]) -> _T:
            try:
                return convert(content[name])
            except KeyError:
                raise MultisigmaError(f"{path}: must have the field `{name}`. Found none. {_REMEDY}") from None
            except (TypeError, ValueError, AttributeError):
                raise MultisigmaError(f"{path}: `{name}` must be {rule}. Found {content[name]!r}. {_REMEDY}") from None

        def count(name: str, least: int = 1) -> int:
            return get(name, f"a whole number from {least} to {_MOST:,}", lambda value: _count(value, least))

        try:
            labels = LabelSpace.from_json(content.get("labels") or {})
        except MultisigmaError as error:
            raise MultisigmaError(f"{path}: `labels`: {error} {_REMEDY}") from error
        info = cls(
            tasks=get("tasks", "a list of names", _texts),
            task_options=get("task_options", "options by task", lambda v: {_text(k): dict(o) for k, o in v.items()}),
            outputs=get("outputs", "channels by task", lambda v: {_text(k): _count(n) for k, n in v.items()}),
            working_height=count("working_height"),
            mean=get("mean", "three numbers", _three),
            std=get("std", "three numbers", _three),
            encoder=get("encoder", "a name", _text),
            output_stride=count("output_stride"),
            aspp_channels=count("aspp_channels"),
            dilations=get(
                "dilations",
                f"whole numbers from 1 to {_MOST:,}",
                lambda values: tuple(_count(value) for value in values),
            ),
            decoder_channels=count("decoder_channels"),
            decoder_kernel=count("decoder_kernel"),
            skip_channels=count("skip_channels", 0),
            separable=get("separable", "true or false", _flag),
            shared_stages=None if content.get("shared_stages") is None else count("shared_stages"),
            labels=labels,
            sigmas=get("sigmas", "numbers by task", _numbers),
            noise_scales=get("noise_scales", "numbers by task", _numbers),
            temperatures=get("temperatures", "positive numbers by task", _positive_numbers),
            score_calibrations=get("score_calibrations", "a positive slope and an intercept by task", _lines),
            calibration=get("calibration", "numbers by key", _numbers),
            # Models of earlier releases do not have it.
            camera=get("camera", "the numbers of a camera, or null", _camera) if "camera" in content else None,
            multisigma_version=get("multisigma_version", "a version", _text),
            # Earlier releases wrote none.
            weights_sha256=get("weights_sha256", "a checksum", str) if "weights_sha256" in content else "",
        )
        if len(info.tasks) != len(info.outputs):
            raise MultisigmaError(
                f"{path}: `outputs` must have one entry for each of the {len(info.tasks)} tasks. "
                f"Found {len(info.outputs)}. {_REMEDY}"
            )
        return info


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(_text(value) for value in values)


def _count(value: Any, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= _MOST:
        raise TypeError
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _number(value: Any) -> float:
    # A whole number may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise TypeError
    return float(value)


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (_number(value) for value in values)
    return red, green, blue


def _numbers(values: Any) -> dict[str, float]:
    return {_text(name): _number(value) for name, value in values.items()}


def _positive_numbers(values: Any) -> dict[str, float]:
    numbers = _numbers(values)
    if any(number <= 0 for number in numbers.values()):
        raise ValueError
    return numbers


def _lines(values: Any) -> dict[str, tuple[float, float]]:
    lines = {_text(name): (_number(slope), _number(intercept)) for name, (slope, intercept) in values.items()}
    if any(slope <= 0 for slope, _ in lines.values()):
        raise ValueError
    return lines


def _camera(values: Any) -> Camera | None:
    if values is None:
        return None
    numbers = _numbers(values)
    known = {field.name for field in fields(Camera)}
    if set(numbers) != known or any(numbers[name] <= 0 for name in ("baseline", "fx", "fy")):
        raise ValueError
    return Camera(**numbers)
