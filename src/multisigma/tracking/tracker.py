"""Identities of objects from frame to frame, by their votes and their masks.

A network that votes for centroids gives each object a point that moves smoothly even while its mask is cut by what
stands before it. An object is expected where its centroid was, moved on at a constant velocity. Expected and found
objects are paired by the assignment of the largest total affinity (Kuhn 1955, 'Hungarian'), as SORT does with boxes
(Bewley et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from multisigma.datasets.scene import SceneInstance
from multisigma.errors import MultisigmaError

__all__ = ["TrackedObject", "Tracker"]


class TrackedObject(Protocol):
    """An object that can be tracked, such as `PredictedInstance`."""

    @property
    def region(self) -> SceneInstance:
        """Class, score, and mask within its box."""

    @property
    def centre(self) -> tuple[float, float]:
        """Centroid (x, y) of the whole object in pixels, which its pixels vote for."""


@dataclass(slots=True)
class _Track:
    """An object as it was last seen."""

    number: int
    region: SceneInstance
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    seen: int
    """Frame of the last sight."""


class Tracker:
    """Give each object of a video a number that it keeps.

    The affinity of an expected and a found object is the mean of two shares: the intersection over union of their
    masks, the expected one moved on by its velocity; and exp(-d^2 / 2), with the distance d of their centroids in
    units of half the object's size, the root of its area. Objects of different classes have half the affinity, because
    a network may take a van for a car in one frame.

    Args:
        patience: Frames for which an object that is not found is still expected.
        least: Smallest affinity of a pair, from 0 to 1.
        score: Smallest score of an object that starts a new number. An object below it has the number 0 while it is
            paired with none that is known.

    Raises:
        MultisigmaError: A parameter is out of its range.

    Example:
        A car that moves by 3 px a frame and is not found in one of them:

        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from multisigma.datasets.scene import SceneInstance
        >>> def car(x):
        ...     region = SceneInstance(26, 0.9, top=8, left=x, mask=np.ones((6, 10), bool))
        ...     return SimpleNamespace(region=region, centre=(x + 4.5, 10.5))
        >>> tracker = Tracker()
        >>> [tracker.update([car(x)] if x != 9 else []) for x in (0, 3, 6, 9, 12)]
        [[1], [1], [1], [], [1]]
    """

    def __init__(self, patience: int = 10, least: float = 0.2, score: float = 0.0) -> None:
        for name, rule, valid, found in (
            ("patience", "0 or more", patience >= 0, patience),
            ("least", "above 0 and at most 1", 0 < least <= 1, least),
            ("score", "at least 0", score >= 0, score),
        ):
            if not valid:
                raise MultisigmaError(f"Parameter `{name}` must be {rule}. Found {found}.")
        self.patience, self.least, self.score = patience, least, score
        self.reset()

    def reset(self) -> None:
        """Forget all objects, for another video. Numbers begin at 1 again."""
        self._tracks: list[_Track] = []
        self._frame = 0
        self._last = 0

    def update(self, objects: Sequence[TrackedObject]) -> list[int]:
        """Take the objects of the next frame.

        Args:
            objects: Of one frame, such as `scene["instance"]`.

        Returns:
            The number of each object, from 1; 0 for one whose score is too low to be new.
        """
        self._frame += 1
        self._tracks = [track for track in self._tracks if self._frame - track.seen <= self.patience + 1]
        numbers = [0] * len(objects)
        affinity = np.array([[self._affinity(track, found) for found in objects] for track in self._tracks])
        if affinity.size:
            for row, column in zip(*linear_sum_assignment(-affinity), strict=True):
                if affinity[row, column] >= self.least:
                    self._move(self._tracks[row], objects[column])
                    numbers[column] = self._tracks[row].number
        for i, found in enumerate(objects):
            if not numbers[i] and found.region.confidence >= self.score:
                self._last += 1
                numbers[i] = self._last
                centre = np.array(found.centre, np.float64)
                self._tracks.append(_Track(self._last, found.region, centre, np.zeros(2), self._frame))
        return numbers

    def _affinity(self, track: _Track, found: TrackedObject) -> float:
        moved = track.velocity * (self._frame - track.seen)
        x, y = (track.centre + moved - found.centre).tolist()
        size = math.sqrt(max(np.count_nonzero(track.region.mask), np.count_nonzero(found.region.mask)))
        near = math.exp(-2 * (x * x + y * y) / max(size * size, 1.0))
        # Far away, masks do not meet either.
        if near < 1e-4:
            return 0.0
        overlap = _iou(track.region, found.region, round(float(moved[0])), round(float(moved[1])))
        same = track.region.class_id == found.region.class_id
        return (overlap + near) / (2 if same else 4)

    def _move(self, track: _Track, found: TrackedObject) -> None:
        centre, passed = np.array(found.centre, np.float64), self._frame - track.seen
        velocity = (centre - track.centre) / passed
        # A mean with what was known, because centroids jitter.
        track.velocity = velocity if not track.velocity.any() else 0.5 * (track.velocity + velocity)
        track.centre, track.region, track.seen = centre, found.region, self._frame


def _iou(one: SceneInstance, other: SceneInstance, right: int, down: int) -> float:
    """Return the intersection over union of two masks, the first one moved."""
    top, left = one.top + down, one.left + right
    first_row, first_column = max(top, other.top), max(left, other.left)
    last_row = min(top + one.mask.shape[0], other.top + other.mask.shape[0])
    last_column = min(left + one.mask.shape[1], other.left + other.mask.shape[1])
    if last_row <= first_row or last_column <= first_column:
        return 0.0
    common = np.count_nonzero(
        one.mask[first_row - top : last_row - top, first_column - left : last_column - left]
        & other.mask[first_row - other.top : last_row - other.top, first_column - other.left : last_column - other.left]
    )
    return common / (np.count_nonzero(one.mask) + np.count_nonzero(other.mask) - common)
