"""Identities over the frames of a video: MOTA and identity switches (Bernardin and Stiefelhagen 2008), IDF1 (Ristani
et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["TrackingFrame", "TrackingScores", "tracking_scores"]


@dataclass(frozen=True, slots=True)
class TrackingFrame:
    """True and predicted objects of one frame.

    Args:
        true: Identity of each true object.
        predicted: Number of each predicted object.
        overlap: Intersection over union of each pair, shape (true, predicted).
    """

    true: Sequence[int]
    predicted: Sequence[int]
    overlap: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackingScores:
    """Counts over all frames of a video, which add up over videos, and the scores that follow.

    Args:
        true: True objects.
        predicted: Predicted objects.
        matches: Pairs of a true and a predicted object of the same frame.
        switches: Matches of a true object with another number than in its last match.
        same_identity: Pairs that the best assignment of numbers to identities over the whole video has (IDTP).
    """

    true: int
    predicted: int
    matches: int
    switches: int
    same_identity: int

    @property
    def mota(self) -> float:
        """1 - (misses + false objects + switches) / true objects; at most 1, and may be below 0."""
        misses, false = self.true - self.matches, self.predicted - self.matches
        return 1 - (misses + false + self.switches) / self.true if self.true else math.nan

    @property
    def idf1(self) -> float:
        """Harmonic mean of the precision and the recall of identities, from 0 to 1."""
        total = self.true + self.predicted
        return 2 * self.same_identity / total if total else math.nan

    def __add__(self, other: TrackingScores) -> TrackingScores:
        return TrackingScores(
            self.true + other.true,
            self.predicted + other.predicted,
            self.matches + other.matches,
            self.switches + other.switches,
            self.same_identity + other.same_identity,
        )


def tracking_scores(frames: Iterable[TrackingFrame], least: float = 0.5) -> TrackingScores:
    """Count the matches and switches of a video.

    A true object keeps the number of its last match while both overlap enough. The others are assigned for the most
    matches, and among these the largest total overlap.

    Args:
        frames: The frames in their order.
        least: Smallest intersection over union of a match.

    Example:
        Two objects swap their numbers in the second of two frames:

        >>> frames = [TrackingFrame([7, 8], numbers, np.eye(2)) for numbers in ([1, 2], [2, 1])]
        >>> scores = tracking_scores(frames)
        >>> scores.switches, scores.mota, scores.idf1
        (2, 0.5, 0.5)
    """
    true = predicted = matches = switches = 0
    last: dict[int, int] = {}
    together: dict[tuple[int, int], int] = {}
    for frame in frames:
        true, predicted = true + len(frame.true), predicted + len(frame.predicted)
        enough = frame.overlap >= least
        for row, column in np.argwhere(enough).tolist():
            pair = frame.true[row], frame.predicted[column]
            together[pair] = together.get(pair, 0) + 1
        for row, column in _matches(frame, enough, last):
            identity, number = frame.true[row], frame.predicted[column]
            matches += 1
            switches += last.get(identity, number) != number
            last[identity] = number
    return TrackingScores(true, predicted, matches, switches, _largest_assignment(together))


def _matches(frame: TrackingFrame, enough: NDArray[np.bool_], last: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return the rows and columns of the matches of a frame."""
    if not enough.any():
        return []
    # A match that stays is worth more than any overlap, and a match more than none.
    stays = np.array([[last.get(identity) == number for number in frame.predicted] for identity in frame.true])
    worth = np.where(enough, 1000.0 * stays + 10.0 + frame.overlap, 0.0)
    return [
        (row, column)
        for row, column in zip(*(places.tolist() for places in linear_sum_assignment(-worth)), strict=True)
        if enough[row, column]
    ]


def _largest_assignment(together: Mapping[tuple[int, int], int]) -> int:
    """Return the frames in which identities and numbers meet, under their best one-to-one assignment."""
    if not together:
        return 0
    identities, numbers = (sorted(set(names)) for names in zip(*together, strict=True))
    table = np.zeros((len(identities), len(numbers)))
    for (identity, number), count in together.items():
        table[identities.index(identity), numbers.index(number)] = count
    return int(table[linear_sum_assignment(-table)].sum())
