"""An evaluation: the Measurements of a split with their intervals and worst frames, and the counts behind them."""

from __future__ import annotations

import io
import json
import math
import zipfile
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
# Draws that are computed together, which bounds the memory.
_CHUNK: Final = 250

FrameCounts = Mapping[str, Counts]
"""A metric's counts by the name of the frame, in the order of the data set."""


def measure(metric: Metric, counts: FrameCounts) -> list[Measurement]:
    """Summarise counts and add to each number its 95 % interval and its worst frames.

    The interval goes from the 2.5th to the 97.5th percentile of the number over 1000 resamples of the frames with
    replacement, the same ones in every evaluation of as many frames. It tells how much the number depends on which
    frames were drawn, not on the training. If a frame diverged, the number of each resample with that frame is
    infinite, and the interval ends at infinity.

    Args:
        metric: The metric that counted.
        counts: Its counts; frames without any are left out.

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
    parts = [metric.resample(frames, weights[start : start + _CHUNK]) for start in range(0, DRAWS, _CHUNK)]
    return {key: np.concatenate([values[key] for values in parts]) for key in parts[0]}


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the interval of the draws where the number is defined, infinite ones among them; None without any."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    # Between a finite and an infinite value there is nothing to interpolate.
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
    """The numbers of a system on a split of a data set.

    Args:
        measurements: The numbers.
        baseline: Those of a predictor that sees no image; empty where there is none.
        by_votes: Numbers of instances by each way from votes to instances; empty if only one was measured.
        provenance: What was evaluated on what: `data`, `split`, `frames`, ...
        counts: What each metric counted, by the metric's name.
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
            "by_votes": {way: [m.to_json() for m in found] for way, found in self.by_votes.items()},
        }
        buffer = io.BytesIO()
        packed: dict[str, Any] = _pack(self.counts)
        np.savez_compressed(buffer, **packed)
        write_bytes(folder / COUNTS_FILE, buffer.getvalue())
        write_text(folder / METRICS_FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))

    @classmethod
    def read(cls, folder: Path, counts: bool = False) -> Evaluation:
        """Read what `write` wrote.

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
                way: [Measurement.from_json(entry) for entry in found] for way, found in content["by_votes"].items()
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
    found = sorted(path.parent for path in (folder / "evaluations").glob(f"*/{METRICS_FILE}"))
    return {path.name: Evaluation.read(path) for path in found}


def _pack(counts: Mapping[str, FrameCounts]) -> dict[str, Any]:
    """Return the counts of all frames as few arrays.

    `frames` has the names of the frames. For each metric, `METRIC/frames` has the places of those that it counted, and
    `METRIC/NAME` their counts, one after the other; `METRIC/NAME/shapes` has the shape of each.
    """
    names = list(dict.fromkeys(name for by_frame in counts.values() for name in by_frame))
    packed: dict[str, NDArray[Any]] = {"frames": np.array(names, dtype=np.str_)}
    for metric, by_frame in counts.items():
        counted = {name: of_frame for name, of_frame in by_frame.items() if of_frame}
        packed[f"{metric}/frames"] = np.array([names.index(name) for name in counted], np.int64)
        for part in next(iter(counted.values()), {}):
            arrays = [np.asarray(of_frame[part]) for of_frame in counted.values()]
            packed[f"{metric}/{part}"] = np.concatenate([array.ravel() for array in arrays])
            packed[f"{metric}/{part}/shapes"] = np.array([array.shape for array in arrays], np.int64)
    return packed


def _read_counts(path: Path) -> dict[str, dict[str, Counts]]:
    try:
        with np.load(path, allow_pickle=False) as packed:
            return dict(_unpack(dict(packed)))
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
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
