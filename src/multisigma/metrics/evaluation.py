"""An evaluation: Measurements of a split with intervals and worst frames, and the counts of its frames."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.files import read_versioned_json, write_bytes, write_text
from multisigma.metrics.base import Counts, Measurement, Metric

__all__ = ["COUNTS_FILE", "DRAWS", "FORMAT_VERSION", "METRICS_FILE", "Evaluation", "measure", "read_evaluations"]

METRICS_FILE, COUNTS_FILE = "metrics.json", "counts.npz"
FORMAT_VERSION: Final = 1
"""Version of the layout of `metrics.json` that this release writes."""
DRAWS: Final = 1000
"""Resamples of the frames behind an interval."""
_SEED: Final = 0
_WORST: Final = 5
# Resamples that are computed together: fewer take less memory.
_CHUNK: Final = 250

FrameCounts = Mapping[str, Counts]
"""A metric's counts by the name of the frame, in the order of the data set."""


def measure(metric: Metric, counts: FrameCounts) -> list[Measurement]:
    """Compute a metric's numbers with their 95 % intervals and worst frames.

    An interval is the 2.5th to the 97.5th percentile over 1000 bootstrap resamples of the frames. Evaluations of the
    same number of frames use the same resamples. An interval shows how much the number depends on the choice of
    frames, not on the training. If the prediction for a frame is not finite, every resample with it is infinite, and so
    is the interval's upper end.

    Args:
        metric: The metric that counted.
        counts: Its counts by frame name. Frames with empty counts are left out.

    Returns:
        The Measurements; none if no frame was counted.
    """
    counted = {name: of_frame for name, of_frame in counts.items() if of_frame}
    if not counted:
        return []
    frames = list(counted.values())
    found = metric.summarise(frames)
    if len(frames) == 1:
        return found
    intervals = {key: _interval(values) for key, values in _resampled(metric, frames).items()}
    alone = {name: {m.key: m.value for m in metric.summarise([of_frame])} for name, of_frame in counted.items()}
    return [
        replace(
            m,
            interval=intervals[m.key],
            worst_frames=_worst(m, {name: values.get(m.key, math.nan) for name, values in alone.items()}),
        )
        for m in found
    ]


def _resampled(metric: Metric, frames: Sequence[Counts]) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(_SEED)
    weights = rng.multinomial(len(frames), np.full(len(frames), 1 / len(frames)), DRAWS)
    chunks = [metric.resample(frames, weights[start : start + _CHUNK]) for start in range(0, DRAWS, _CHUNK)]
    return {key: np.concatenate([values[key] for values in chunks]) for key in chunks[0]}


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the interval of the values that are not nan, infinite ones included; None if all are nan."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    # One cannot interpolate between a finite and an infinite value.
    method: Literal["linear", "inverted_cdf"] = "linear" if np.isfinite(defined).all() else "inverted_cdf"
    low, high = np.percentile(defined, (2.5, 97.5), method=method).tolist()
    return low, high


def _worst(measurement: Measurement, values: Mapping[str, float]) -> dict[str, float]:
    if measurement.higher_is_better is None:
        return {}
    defined = {name: value for name, value in values.items() if not math.isnan(value)}
    ordered = sorted(defined.items(), key=lambda entry: entry[1], reverse=not measurement.higher_is_better)
    return dict(ordered[:_WORST])


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a system on a split.

    Args:
        measurements: The numbers.
        baseline: The numbers of a predictor that sees no image; empty without one.
        by_votes: Numbers of instances by each setting of `votes`, such as 'paper'; empty if only one was measured.
        provenance: What was evaluated: `data`, `split`, `frames`, ...
        counts: The counts of each metric, by the metric's name.
    """

    measurements: Sequence[Measurement]
    baseline: Sequence[Measurement] = ()
    by_votes: Mapping[str, Sequence[Measurement]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, FrameCounts] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Measurement:
        """Return the Measurement with a key; raises `KeyError` if there is none."""
        for measurement in self.measurements:
            if measurement.key == key:
                return measurement
        raise KeyError(key)

    def value(self, key: str) -> float:
        """Return the value of a number; nan if it was not measured."""
        return next((m.value for m in self.measurements if m.key == key), math.nan)

    def write(self, folder: Path) -> None:
        """Write `metrics.json` and `counts.npz` into a folder, which must exist.

        Raises:
            MultisigmaError: A file cannot be written.
        """
        content = {
            "format_version": FORMAT_VERSION,
            "provenance": self.provenance,
            "measurements": [m.to_json() for m in self.measurements],
            "baseline": [m.to_json() for m in self.baseline],
            "by_votes": {votes: [m.to_json() for m in found] for votes, found in self.by_votes.items()},
        }
        buffer = io.BytesIO()
        packed: dict[str, Any] = _pack(self.counts)
        np.savez_compressed(buffer, **packed)
        write_bytes(folder / COUNTS_FILE, buffer.getvalue())
        write_text(folder / METRICS_FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))

    @classmethod
    def read(cls, folder: Path, counts: bool = False) -> Evaluation:
        """Read an evaluation from the files of `write`.

        Args:
            folder: The folder.
            counts: Whether to read the counts of frames too.

        Raises:
            MultisigmaError: A file cannot be read, or is of another version, and the message names it.
        """
        path = folder / METRICS_FILE
        remedy = "Evaluate again."
        content = read_versioned_json(path, FORMAT_VERSION, remedy, remedy)
        try:
            measurements, baseline = (
                [Measurement.from_json(entry) for entry in content[name]] for name in ("measurements", "baseline")
            )
            by_votes = {
                votes: [Measurement.from_json(entry) for entry in found] for votes, found in content["by_votes"].items()
            }
            provenance = dict(content["provenance"])
        except (KeyError, TypeError, ValueError, AttributeError, MultisigmaError) as error:
            raise MultisigmaError(f"{path}: must hold an evaluation. Found a fault: {error}. {remedy}") from error
        return cls(measurements, baseline, by_votes, provenance, _read_counts(folder / COUNTS_FILE) if counts else {})


def read_evaluations(folder: Path) -> dict[str, Evaluation]:
    """Read all evaluations of a run, or of a folder of predictions, by name.

    Args:
        folder: The folder that holds `evaluations/`; without it there are none.

    Raises:
        MultisigmaError: An evaluation cannot be read.
    """
    found = sorted(path.parent for path in (folder / "evaluations").glob(f"[!.]*/{METRICS_FILE}"))
    return {path.name: Evaluation.read(path) for path in found}


def _pack(counts: Mapping[str, FrameCounts]) -> dict[str, Any]:
    """Return the counts of all frames as a few arrays for `np.savez`.

    `frames` holds the names of the frames. For each metric, `METRIC/frames` holds the indices of the frames that it
    counted, `METRIC/NAME` their flattened counts in that order, and `METRIC/NAME/shapes` the shape of each.
    """
    names = list(dict.fromkeys(name for by_frame in counts.values() for name in by_frame))
    packed: dict[str, NDArray[Any]] = {"frames": np.array(names, dtype=np.str_)}
    for metric, by_frame in counts.items():
        counted = {name: of_frame for name, of_frame in by_frame.items() if of_frame}
        packed[f"{metric}/frames"] = np.array([names.index(name) for name in counted], np.int64)
        for name in next(iter(counted.values()), {}):
            arrays = [np.asarray(of_frame[name]) for of_frame in counted.values()]
            packed[f"{metric}/{name}"] = np.concatenate([array.ravel() for array in arrays])
            packed[f"{metric}/{name}/shapes"] = np.array([array.shape for array in arrays], np.int64)
    return packed


def _read_counts(path: Path) -> dict[str, dict[str, Counts]]:
    try:
        with np.load(path, allow_pickle=False) as packed:
            return dict(_unpack(dict(packed)))
    except Exception as error:
        # NumPy raises whatever a damaged file makes it stumble over.
        raise MultisigmaError(f"{path}: must hold counts. Found a fault: {error}. Evaluate again.") from error


def _unpack(packed: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, dict[str, Counts]]]:
    names = packed["frames"].tolist()
    for metric in (key.removesuffix("/frames") for key in packed if key.endswith("/frames")):
        frames: list[dict[str, NDArray[Any]]] = [{} for _ in packed[f"{metric}/frames"]]
        for key in packed:
            if not (key.startswith(f"{metric}/") and key.endswith("/shapes")):
                continue
            values = packed[key.removesuffix("/shapes")]
            shapes = packed[key]
            ends = shapes.prod(1).cumsum()
            for of_frame, shape, array in zip(frames, shapes, np.split(values, ends[:-1]), strict=True):
                of_frame[key.removeprefix(f"{metric}/").removesuffix("/shapes")] = array.reshape(shape)
        yield (
            metric,
            {names[place]: of_frame for place, of_frame in zip(packed[f"{metric}/frames"], frames, strict=True)},
        )
