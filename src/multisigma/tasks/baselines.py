"""Predictors that see no image: what a network must beat."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.transform import nearest_pixels

Array = NDArray[Any]


class Baseline(Protocol):
    """Made from the targets of the training split, and the same for every frame of one size."""

    def update(self, target: Array) -> None:
        """Takes in one frame's target."""

    def predict(self) -> Array | None:
        """The prediction for every frame, at the size of the first target; None if nothing was labelled."""

    def resize(self, prediction: Array, height: int, width: int) -> Array:
        """The prediction carried to frames of another size."""


def nearest(array: Array, height: int, width: int) -> Array:
    """Resizes the last two axes by nearest neighbour, pixel centres at half-integers.

    Args:
        array: Array of shape (..., H, W).
        height: New H.
        width: New W.
    """
    if array.shape[-2:] == (height, width):
        return array
    rows, columns = nearest_pixels(array.shape[-2], height), nearest_pixels(array.shape[-1], width)
    return array[..., rows[:, None], columns]


class MajorityClass:
    """The most frequent class at each pixel position.

    Args:
        ignore_index: The value of pixels without a label.
    """

    def __init__(self, ignore_index: int) -> None:
        self.ignore_index = ignore_index
        self.counts: NDArray[np.int32] | None = None

    def update(self, target: Array) -> None:
        if self.counts is None:
            self.counts = np.zeros((0, *target.shape), np.int32)
        target = nearest(target, *self.counts.shape[1:])
        for label in np.unique(target[target != self.ignore_index]).tolist():
            if label >= len(self.counts):
                more = np.zeros((label + 1 - len(self.counts), *target.shape), np.int32)
                self.counts = np.concatenate((self.counts, more))
            self.counts[label] += target == label

    def predict(self) -> Array | None:
        if self.counts is None or not self.counts.any():
            return None
        overall = int(self.counts.sum((1, 2)).argmax())
        return np.where(self.counts.any(0), self.counts.argmax(0), overall).astype(np.uint8)

    def resize(self, prediction: Array, height: int, width: int) -> Array:
        return nearest(prediction, height, width)


class RowMean:
    """The mean of each row's labelled values, for each channel.

    Args:
        in_pixels: Whether the values are lengths in pixels, which grow with the width of the frame.
    """

    def __init__(self, in_pixels: bool = True) -> None:
        self.in_pixels, self.width = in_pixels, 0
        self.sums: NDArray[np.float64] | None = None
        self.counts: NDArray[np.int64] | None = None

    def update(self, target: Array) -> None:
        if self.sums is None or self.counts is None:
            self.width = target.shape[-1]
            self.sums, self.counts = np.zeros(target.shape[:2]), np.zeros(target.shape[:2], np.int64)
        target = self.resize(target, self.sums.shape[1], self.width)
        self.sums += np.nansum(target, axis=2, dtype=np.float64)
        self.counts += np.isfinite(target).sum(2)

    def predict(self) -> Array | None:
        if self.sums is None or self.counts is None or not self.counts.any(1).all():
            return None
        rows = np.arange(self.sums.shape[1])
        means = np.stack(
            [
                np.interp(rows, rows[counts > 0], sums[counts > 0] / counts[counts > 0])
                for sums, counts in zip(self.sums, self.counts, strict=True)
            ]
        )
        return np.broadcast_to(means[..., None], (*means.shape, self.width)).astype(np.float32)

    def resize(self, prediction: Array, height: int, width: int) -> Array:
        resized = nearest(prediction, height, width)
        return resized * np.float32(width / prediction.shape[-1]) if self.in_pixels else resized


class ZeroVectors:
    """A vector of length zero at every pixel: each pixel its own centroid."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.labelled = False

    def update(self, target: Array) -> None:
        self.shape = self.shape or target.shape
        self.labelled = self.labelled or bool(np.isfinite(target).any())

    def predict(self) -> Array | None:
        return np.zeros(self.shape, np.float32) if self.labelled else None

    def resize(self, prediction: Array, height: int, width: int) -> Array:
        return nearest(prediction, height, width)
