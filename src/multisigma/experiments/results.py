"""The result of one training run, as one file from which tables and plots are made."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.files import MOST_BYTES, read_bytes, write_bytes
from multisigma.metrics import Counts, Measurement, Metric
from multisigma.tasks import load_tasks
from multisigma.training.config import Names, Size, TrainConfig
from multisigma.training.run_folder import require_trust

FORMAT_VERSION: Final = 1
SUFFIX: Final = ".json.gz"
METRICS: Final = {
    "semantic": ("iou_class", "iou_category"),
    "instance": ("instance_error_px", "instance_endpoint_px"),
    "depth": ("disparity_error_px", "disparity_rms_px", "depth_abs_rel"),
}
"""The keys of each task's measurements that experiments compare. The first is the one of table 1."""
# Options that say where and how often, but not what is learned.
_OF_THE_MACHINE: Final = {"data", "seed", "workers", "accelerator", "validation_frames", "validate_every"} | {
    "threads",
    "checkpoint_every",
    "log_every",
    "damaged_frames",
}

Curves = Mapping[str, tuple[Sequence[int], Sequence[float]]]
"""Iterations and values of each logged column."""


@dataclass(frozen=True)
class Result:
    """What one training run gave.

    Args:
        config: The configuration of the run.
        failure: Why the training diverged; None if it did not.
        measurements: All measurements on the split 'val', with their intervals over frames.
        counts: The counts of the first metric of each task, by task and frame; they give the numbers of any frames.
        labels: The classes of the data; None if the training diverged.
        curves: Losses, weights, noise and sigma over the training, by the columns of the log.
        gradients: Rows of `GradientProbe`: the tasks' gradient norms and cosines over the training.
        provenance: `data` and `code` are hashes; versions, hardware, times.
    """

    config: TrainConfig
    failure: str | None = None
    measurements: Sequence[Measurement] = ()
    counts: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)
    labels: LabelSpace | None = None
    curves: Curves = field(default_factory=dict)
    gradients: Sequence[Mapping[str, float]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> list[str]:
        """Names of the frames that any task was measured on."""
        return sorted({name for of_task in self.counts.values() for name in of_task})

    def value(self, key: str, frames: Sequence[str]) -> float:
        """Return a measurement over some frames; nan if the run has none of this key, or has failed."""
        found = self._counted(key, frames)
        if found is None:
            return math.nan
        return next(m.value for m in found[0].summarise(found[1]) if m.key == key)

    def resample(self, key: str, frames: Sequence[str], weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a measurement over draws of the frames; shape (draws,).

        Args:
            key: The key.
            frames: Names of N frames.
            weights: How often each counts in each draw, shape (draws, N).
        """
        found = self._counted(key, frames)
        if found is None or len(found[1]) < len(frames):
            return np.full(len(weights), math.nan)
        return found[0].resample(found[1], weights)[key]

    def last(self, column: str) -> float:
        """Return the last logged value of a column; nan without one."""
        return self.curves[column][1][-1] if column in self.curves else math.nan

    def _counted(self, key: str, frames: Sequence[str]) -> tuple[Metric, list[Counts]] | None:
        task = next((task for task, keys in METRICS.items() if key in keys), None)
        if task not in self.counts or task not in self._metrics:
            return None
        of_task = self.counts[task]
        counted = [of_task[name] for name in frames if name in of_task]
        return (self._metrics[task], counted) if counted else None

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        if self.labels is None:
            return {}
        tasks = load_tasks(self.config.tasks.values, self.config.task_options)
        return {task.name: found[0] for task in tasks if (found := task.metrics(self.labels))}

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            MultisigmaError: It cannot be written.
        """
        content = {
            "format_version": FORMAT_VERSION,
            "config": yaml.safe_load(self.config.to_yaml()),
            "failure": self.failure,
            "provenance": dict(self.provenance),
            "measurements": [replace(m, details={}, worst_frames={}).to_json() for m in self.measurements],
            "labels": self.labels and self.labels.to_json(),
            "curves": self.curves,
            "gradients": self.gradients,
            "counts": {
                task: {frame: {name: array.tolist() for name, array in found.items()} for frame, found in rows.items()}
                for task, rows in self.counts.items()
            },
        }
        text = json.dumps(_rounded(content), separators=(",", ":"))
        write_bytes(path, gzip.compress(text.encode(), mtime=0))

    @classmethod
    def read(cls, path: Path, trust_code: bool = False) -> Result:
        """Read what `write` wrote.

        Args:
            path: The file.
            trust_code: Import its own tasks where its numbers are asked for, which runs their author's code.

        Raises:
            MultisigmaError: The file is damaged or of another version; or `trust_code` is false and it has tasks that
                are not built in.
        """
        result = cls._read(path)
        if not trust_code:
            require_trust(result.config, path)
        return result

    @classmethod
    def _read(cls, path: Path) -> Result:
        try:
            content = json.loads(_unpack(read_bytes(path)))
            if content["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {content['format_version']} instead of {FORMAT_VERSION}")
            values = content["config"]
            values |= {name: Names.parse(values[name]) for name in ("tasks", "dilations")}
            values["crop"] = values["crop"] and Size.parse(values["crop"])
            return cls(
                TrainConfig(**values),
                content["failure"],
                [Measurement.from_json(entry) for entry in content["measurements"]],
                {
                    task: {frame: {k: _array(v) for k, v in found.items()} for frame, found in rows.items()}
                    for task, rows in content["counts"].items()
                },
                content["labels"] and LabelSpace.from_json(content["labels"]),
                {name: (steps, _array(values).tolist()) for name, (steps, values) in content["curves"].items()},
                content["gradients"],
                content["provenance"],
            )
        except (
            OSError,
            EOFError,
            zlib.error,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            MultisigmaError,
        ) as error:
            raise MultisigmaError(
                f"{path}: must be the result of a run. Found a fault: {error}. Remove it; the run is then done again."
            ) from error


def result_path(folder: Path, config: TrainConfig) -> Path:
    """Return the place of a run's result: its name tells tasks, weighting, learning rate and seed, and has a hash.

    The hash is that of all fields that change what is learned and differ from their defaults, so that a new option
    leaves the names of earlier runs as they are. Experiments that share a folder share such runs.
    """
    fields = {
        f.name: str(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if f.name not in _OF_THE_MACHINE and getattr(config, f.name) != f.default
    }
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:10]
    tasks = "+".join(name.rpartition(".")[2].lower() for name in config.tasks.values)
    weighting = config.weighting.rpartition(".")[2].lower()
    return folder / f"{weighting}-{tasks}-lr{config.learning_rate:g}-{digest}-seed{config.seed}{SUFFIX}"


def _unpack(packed: bytes) -> bytes:
    """Return the content of a gzip file, of at most `MOST_BYTES`: a small one can hold a huge one."""
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("it unpacks to more than a gigabyte")
    return content


def _array(values: Any) -> NDArray[Any]:
    """Return an array of JSON lists, in which None stands for what is not finite."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype == object else array


def _rounded(content: Any, round_number: Callable[[float], float] = lambda value: float(f"{value:.7g}")) -> Any:
    """Return JSON content with floats of seven digits, as float32 holds them, and without NaN or infinity."""
    if isinstance(content, float):
        return round_number(content) if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
