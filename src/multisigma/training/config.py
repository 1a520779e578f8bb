"""Everything that a training run depends on, in one flat table; presets are YAML files of its fields."""

import dataclasses
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import formatannotation
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from multisigma.errors import MultisigmaError
from multisigma.files import read_yaml

PRESETS: dict[str, Path] = {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.yaml"))}


class Size:
    """A height and a width in pixels, written HxW."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    @classmethod
    def parse(cls, text: "str | Size") -> "Size":
        """Reads 'HxW'; raises ValueError for anything else."""
        if isinstance(text, Size):
            return text
        height, cross, width = str(text).lower().partition("x")
        if not (cross and height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
            raise ValueError(f"a size is HxW in pixels, such as 256x512; found {text!r}")
        return cls(int(height), int(width))

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Names:
    """Values written with commas between them."""

    def __init__(self, *values: str) -> None:
        self.values = values

    @classmethod
    def parse(cls, text: "str | Sequence[object] | Names") -> "Names":
        """Reads 'a,b,c', or takes a list; raises ValueError for an empty value."""
        if isinstance(text, Names):
            return text
        parts = [str(part).strip() for part in (text if isinstance(text, list | tuple) else str(text).split(","))]
        if not all(parts) or not parts:
            raise ValueError(f"values with commas between them, none empty; found {text!r}")
        return cls(*parts)

    def __str__(self) -> str:
        return ",".join(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)


LABELLED = Names("labelled")
"""The tasks semantic, instance and depth, as far as the training data has their labels."""


def option(default: Any, help: str) -> Any:
    """A field with the help text that the command line shows."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of one training run; every field is an option of `multisigma train`.

    Defaults are those of appendix A.1 for full Cityscapes where the paper gives a value; the preset `full` says where.

    Raises:
        MultisigmaError: A value is out of its range; the message names the option.
    """

    data: str = option("", "root of the data, YAML file, or class")
    missing_labels: Literal["error", "unlabelled"] = option("error", "what a single missing label file means")
    damaged_frames: Literal["error", "skip"] = option(
        "error", "what a frame that cannot be read means: error stops; skip takes the next one, warns and counts"
    )
    tasks: Names = option(
        LABELLED,
        "tasks with commas between them, such as semantic,depth; your own as package.module.Class; 'labelled' for "
        "semantic, instance and depth as far as the data has their labels",
    )
    task_options: dict[str, dict[str, Any]] | None = option(
        None, "options of the tasks, by the names of their classes' parameters; each as --task.TASK.NAME VALUE"
    )
    weighting: str = option(
        "uncertainty",
        "how the losses are weighed: uncertainty, uniform, revised_uncertainty, imtl_l, equal, fixed, rlw, dwa, gls, "
        "log_transform, uw_so, famo, stch, gradnorm, gradient_aggregation, mgda, pcgrad, cagrad, imtl_g, nash_mtl, "
        "aligned_mtl, upgrad; your own as package.module.Class",
    )
    weighting_options: dict[str, Any] | None = option(
        None, "options of the weighting, by the names of its class's parameters; each as --weighting.NAME VALUE"
    )
    encoder: str = option("resnet101.tv_in1k", "name of a timm encoder, with the tag of its pretrained weights")
    encoder_weights: str = option(
        "hub",
        "pretrained weights of the encoder: hub (fetched), packaged (the extra 'weights', for tf_efficientnet_lite0), "
        "none (random), or a file",
    )
    init: str | None = option(
        None,
        "run folder or saved model whose weights the network starts from, where they fit; 'default' for the model that "
        "the package ships",
    )
    output_stride: int = option(8, "output stride of the encoder: 8, 16 or 32")
    aspp_channels: int = option(256, "channels of each branch of the ASPP")
    dilations: Names = option(Names("1", "12", "24", "36"), "dilations of the ASPP, with commas")
    decoder_channels: int = option(256, "features of each decoder")
    decoder_kernel: int = option(3, "first kernel of each decoder: 3 (section 4) or 1 (appendix A)")
    skip_channels: int = option(
        0, "channels of the encoder's features at stride 4 that join the ASPP's, as in DeepLabV3+; 0 for none"
    )
    separable: bool = option(False, "separable 3x3 convolutions in ASPP and decoders")
    shared_stages: int | None = option(
        None,
        "stages of the encoder that the tasks share, from 1 for the stem; each task has the others and the ASPP for "
        "itself; null to share all, as in the paper",
    )
    frozen_stride: int = option(
        0, "the encoder keeps its weights and statistics up to its features of this stride; 0 to train all"
    )
    iterations: int = option(100_000, "iterations of the whole run")
    batch_size: int = option(16, "frames of one iteration, over all devices")
    crop: Size | None = option(Size(512, 512), "size of the training crops; null for whole frames (of one size)")
    scale_min: float = option(0.7, "smallest random scale")
    scale_max: float = option(2.0, "largest random scale")
    flip: float = option(0.5, "probability of a horizontal flip")
    photometric: dict[str, float] | None = option(
        None,
        "random changes of the training images' colours, each as --photometric.NAME VALUE: exposure, gamma, "
        "white_balance, contrast, saturation, hue, blur, noise, jpeg; null for none",
    )
    learning_rate: float = option(2.5e-3, "learning rate at the start")
    encoder_learning_rate: float | None = option(None, "the encoder's own learning rate; null for the same")
    noise_learning_rate: float | None = option(None, "the noise parameters' own learning rate; null for the same")
    momentum: float = option(0.9, "Nesterov momentum")
    weight_decay: float = option(1e-4, "weight decay of the network; the noise parameters have none")
    poly_power: float = option(0.9, "power of the polynomial decay")
    validate_every: int = option(2000, "iterations between validations")
    validation_frames: int | None = option(
        None, "frames of a validation, evenly over the split; null for all, 0 for none"
    )
    checkpoint_every: int = option(1000, "iterations between checkpoints")
    log_every: int = option(50, "iterations between log entries")
    seed: int = option(0, "seed of initial weights, order and augmentation")
    workers: int = option(4, "processes that read data, for each device")
    accelerator: str = option("auto", "device kind: auto, cpu, gpu, ...")
    devices: int = option(1, "devices on each node")
    nodes: int = option(1, "nodes")
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = option("32-true", "floating point precision")
    compile: bool = option(False, "compile the network by torch.compile; on the CPU it needs a C++ compiler")
    threads: int | None = option(None, "threads that compute on the CPU; null for torch's own number")

    def __post_init__(self) -> None:
        positive = ["aspp_channels", "decoder_channels", "iterations", "batch_size", "scale_min", "learning_rate"]
        positive += ["encoder_learning_rate", "noise_learning_rate", "validate_every"]
        positive += ["checkpoint_every", "log_every", "devices", "nodes", "threads"]
        for name in positive:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise self._error(name, "must be positive")
        not_negative = ["momentum", "weight_decay", "poly_power", "workers", "seed", "skip_channels", "frozen_stride"]
        for name in (*not_negative, "validation_frames"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise self._error(name, "must not be negative")
        if self.seed >= 2**32:
            raise self._error("seed", "must be below 2^32, as NumPy asks")
        if not 0 <= self.flip <= 1:
            raise self._error("flip", "must be a probability, from 0 to 1")
        if not self.scale_min <= self.scale_max < math.inf:
            raise self._error("scale_max", f"must be finite and at least --scale-min ({self.scale_min})")
        if self.crop is None and not self.scale_min == self.scale_max == 1:
            raise self._error("crop", "must be given with random scales, or frames of a batch would differ in size")
        if self.batch_size % (self.devices * self.nodes):
            raise self._error("batch_size", f"must be a multiple of the {self.devices * self.nodes} devices")
        if not all(part.isdecimal() and int(part) > 0 for part in self.dilations.values):
            raise self._error("dilations", "must be positive integers")
        if self.photometric:
            # Here, because it takes half a second, which --help must not.
            from multisigma.datasets.photometric import PhotometricSettings

            PhotometricSettings.parse(self.photometric)
        if not isinstance(self.weighting_options, dict | None):
            raise self._error("weighting_options", "must be a mapping")
        if not all(isinstance(part, dict) for part in (self.task_options or {}, *(self.task_options or {}).values())):
            raise self._error("task_options", "must be a mapping of each task's options by task name")

    def _error(self, name: str, rule: str) -> MultisigmaError:
        value = getattr(self, name)
        return MultisigmaError(f"Option --{name.replace('_', '-')} {rule}; found {value}.")

    def to_yaml(self) -> str:
        """The configuration as a YAML file of its fields; `from_yaml` and `--config` read it."""
        plain = (str, int, float, bool, dict, type(None))
        values = {k: v if isinstance(v, plain) else str(v) for k, v in vars(self).items()}
        return yaml.safe_dump(values, sort_keys=False)

    @classmethod
    def from_yaml(cls, path: Path) -> "TrainConfig":
        """Reads what `to_yaml` wrote, or a preset.

        Raises:
            MultisigmaError: The file cannot be read, or a field is unknown or of the wrong kind.
        """
        values = read_fields(path)
        names = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not names.issuperset(values):
            unknown = sorted(map(str, set(values) - names)) if isinstance(values, dict) else reprlib.repr(values)
            raise MultisigmaError(f"{path}: must hold fields of the training configuration alone; found {unknown}.")
        try:
            if values.get("crop") is not None:
                values["crop"] = Size.parse(values["crop"])
            for name in ("tasks", "dilations"):
                if values.get(name) is not None:
                    values[name] = Names.parse(values[name])
            hints = get_type_hints(cls)
            for name, value in values.items():
                if not _is_of(value, hints[name]):
                    type_ = formatannotation(hints[name]).replace("typing.", "").rpartition("config.")[2]
                    raise ValueError(f"field `{name}` must be of type {type_}. Found {reprlib.repr(value)}.")
            return cls(**values)
        except (ValueError, TypeError, OverflowError, RecursionError, MultisigmaError) as error:
            raise MultisigmaError(f"{path}: {error}") from error


def read_fields(path: Path) -> Any:
    """Return what a configuration file holds: plain values, which are not checked.

    Raises:
        MultisigmaError: The file cannot be read, is no YAML, or has aliases, by which a short file could become huge.
    """
    try:
        return read_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MultisigmaError(f"{path}: not a readable YAML file: {error}") from error


def _is_of(value: Any, hint: Any) -> bool:
    """Return whether a value that YAML gave is of a type: a class, a union, a `Literal`, or a dictionary of one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_is_of(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is dict:
        return isinstance(value, dict) and all(
            _is_of(key, arguments[0]) and _is_of(item, arguments[1]) for key, item in value.items()
        )
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
