"""Base classes of metrics: `count` one frame, `summarise` the counts of any frames as Measurements."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Frame
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import ratio

__all__ = ["Counts", "Measurement", "Metric", "SumMetric", "fill", "in_unit"]

Counts = Mapping[str, NDArray[Any]]
"""A metric's counts of one frame: arrays by name. Empty if the frame has no label or the system no result."""


@dataclass(frozen=True)
class Measurement:
    """A number with all that is needed to show it.

    Args:
        key: Name in files, such as 'iou_class'.
        value: The number in its unit; nan if nothing was measured.
        unit: '%', 'px', 'm', ...; empty for a pure number.
        higher_is_better: Whether a larger value is better; None if neither is, as for coverage of a 90 % interval.
        definition: How the number is defined, in one or two sentences.
        per_class: Values by class or category; nan where undefined.
        interval: Ends of the 95 % bootstrap interval over frames; None if not computed.
        name: Name in tables; derived from the key if empty.
        is_main: Whether a report shows it among the first numbers.
        details: Further data for JSON, such as a confusion matrix or the bins of a diagram.
        worst_frames: The values of the worst frames by frame name, the worst first.

    Example:
        >>> edges = Measurement("edge_f1", 61.5, "%", True, "F1 of edges within 2 px.")
        >>> edges.title, edges.arrow
        ('Edge f1', '↑')
    """

    key: str
    value: float
    unit: str
    higher_is_better: bool | None
    definition: str
    per_class: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    name: str = ""
    is_main: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    worst_frames: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name in tables."""
        return self.name or self.key.replace("_", " ").capitalize()

    @property
    def arrow(self) -> str:
        """An arrow up or down towards better values; empty if neither is better."""
        return {True: "\N{UPWARDS ARROW}", False: "\N{DOWNWARDS ARROW}", None: ""}[self.higher_is_better]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, with None for nan and 'inf' for infinity."""
        return {
            "key": self.key,
            "name": self.title,
            "value": _plain(self.value),
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "definition": self.definition,
            "is_main": self.is_main,
            "interval": self.interval and [_plain(end) for end in self.interval],
            "per_class": {name: _plain(value) for name, value in self.per_class.items()},
            "worst_frames": {name: _plain(value) for name, value in self.worst_frames.items()},
            "details": self.details,
        }

    @classmethod
    def from_json(cls, content: Any) -> Measurement:
        """Build a Measurement from the values that `to_json` returned.

        Raises:
            MultisigmaError: A field is missing or of the wrong type.
        """
        try:
            interval = content["interval"]
            return cls(
                key=_typed(content["key"], str),
                value=_number(content["value"]),
                unit=_typed(content["unit"], str),
                higher_is_better=_typed(content["higher_is_better"], bool, type(None)),
                definition=_typed(content["definition"], str),
                per_class={name: _number(value) for name, value in content["per_class"].items()},
                interval=None if interval is None else (_number(interval[0]), _number(interval[1])),
                name=_typed(content["name"], str),
                is_main=_typed(content["is_main"], bool),
                details=_typed(content["details"], dict),
                worst_frames={name: _number(value) for name, value in content["worst_frames"].items()},
            )
        except KeyError as error:
            raise MultisigmaError(f"A Measurement must have the field {error}. Found none.") from error
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise MultisigmaError(f"A Measurement must hold a number and its description. Found: {error}.") from error


class Metric(ABC):
    """Count each frame by itself, and compute Measurements from the counts of any set of frames.

    Frames may be counted in any order and by any number of processes. The worst frames and the interval of each number
    follow from the counts alone, without reading the data again.
    """

    @abstractmethod
    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count one frame.

        Args:
            scene: Each task's result by task name, at the size of the frame, in ids of `frame.labels`; see
                `multisigma.datasets.scene` for the types of the results.
            frame: The labels.

        Returns:
            Arrays by name; empty if the frame is not labelled or the scene lacks what is measured.
        """

    @abstractmethod
    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        """Compute the numbers of a set of frames.

        Args:
            counts: The counts of the frames, without empty ones, in the order of the data set; may be an empty list.
        """

    def resample(self, counts: Sequence[Counts], weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Compute each number for resamples of the frames, by key; shape (draws,).

        This default summarises each resample. `SumMetric` computes all of them at once.

        Args:
            counts: The counts of N frames, at least one.
            weights: How often each frame occurs in each resample, shape (draws, N).
        """
        draws = [
            [c for c, times in zip(counts, row, strict=True) for _ in range(times)]
            for row in np.asarray(weights).tolist()
        ]
        values = [{m.key: m.value for m in self.summarise(frames)} for frames in draws]
        return {key: np.array([of_draw[key] for of_draw in values]) for key in values[0]}


class SumMetric(Metric):
    """A metric whose numbers follow from the sums of its counts over frames."""

    @abstractmethod
    def blanks(self) -> Sequence[Measurement]:
        """Return the Measurements with nan as value; `per_class` has the names of the classes."""

    @abstractmethod
    def zeros(self) -> Counts:
        """Return zeros of the shapes and types that `count` returns."""

    @abstractmethod
    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        """Compute the numbers from sums.

        Args:
            totals: Sums of the counts over frames. The first axis of each array is the resample.

        Returns:
            Scores by key, nan where undefined: shape (draws,), or (draws, classes) for a mean over classes. A
            percentage is given as a fraction.
        """

    def details(self, totals: Counts) -> dict[str, Mapping[str, Any]]:
        """Return the `details` of Measurements by key, from sums without an axis of resamples; none by default."""
        return {}

    def summarise(self, counts: Sequence[Counts]) -> list[Measurement]:
        totals = {
            name: _exact_sum([np.asarray(of_frame[name]) for of_frame in counts]) if counts else zero
            for name, zero in self.zeros().items()
        }
        scores = self.scores({name: total[None] for name, total in totals.items()})
        details = self.details(totals)
        return [replace(m, details=details.get(m.key, {})) for m in fill(self.blanks(), scores)]

    def resample(self, counts: Sequence[Counts], weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        totals = {}
        for name, zero in self.zeros().items():
            stacked = np.stack([np.asarray(of_frame[name]) for of_frame in counts]).reshape(len(counts), -1)
            stacked = stacked.astype(np.float64)
            finite = np.isfinite(stacked)
            sums = weights.astype(np.float64) @ np.where(finite, stacked, 0.0)
            # Add a frame's infinite counts only to the draws that contain it. In the product above, 0 * inf would be
            # NaN.
            for frame in np.flatnonzero(~finite.all(1)):
                sums[weights[:, frame] > 0] += np.where(finite[frame], 0.0, stacked[frame])
            totals[name] = sums.reshape(len(weights), *zero.shape)
        scores = self.scores(totals)
        return {m.key: in_unit(scores[m.key], m.unit)[0] for m in self.blanks()}


def fill(blanks: Sequence[Measurement], scores: Mapping[str, NDArray[np.float64]]) -> list[Measurement]:
    """Return the Measurements with their values filled in from the first draw.

    Args:
        blanks: The Measurements without values.
        scores: As `SumMetric.scores` returns them.
    """
    filled = []
    for blank in blanks:
        values, classes = in_unit(scores[blank.key][:1], blank.unit)
        per_class = dict(zip(blank.per_class, classes[0].tolist(), strict=True))
        filled.append(replace(blank, value=float(values[0]), per_class=per_class))
    return filled


def in_unit(scores: NDArray[np.float64], unit: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores in the unit: the overall values (means over defined classes) and the values per class.

    Args:
        scores: Shape (draws,), or (draws, classes) for a mean over the classes that are defined.
        unit: The unit; '%' multiplies by 100.

    Returns:
        Shape (draws,), and (draws, classes), which has no column for a number without classes.
    """
    scores = scores * 100 if unit == "%" else scores
    if scores.ndim == 1:
        return scores, np.empty((len(scores), 0))
    defined = ~np.isnan(scores)
    return ratio(np.where(defined, scores, 0.0).sum(1), defined.sum(1)), scores


def _exact_sum(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Sum arrays of one shape, floats with a single rounding, so that the order does not change the result."""
    stacked = np.stack(arrays)
    if not np.issubdtype(stacked.dtype, np.floating):
        return np.asarray(stacked.sum(0))
    columns = stacked.reshape(len(stacked), -1).T.tolist()
    return np.array([math.fsum(column) for column in columns]).reshape(stacked.shape[1:])


def _plain(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(float(value))


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        return float(value)
    number = _typed(value, int, float)
    if abs(number) > sys.float_info.max and type(number) is int:
        raise ValueError("a whole number is too large")
    return float(number)


def _typed(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise TypeError(f"{value!r} is no {' or '.join(t.__name__ for t in types)}")
    return value
