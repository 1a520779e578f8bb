"""A scale, a flip and a crop, and how they move pixels and points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Transform", "nearest_pixels"]

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Transform:
    """One drawn transform: scale, then flip, then crop.

    Args:
        flip: Whether left and right are exchanged.
        height: Height of the whole frame after scaling.
        width: Width of the whole frame after scaling.
        top: Row of the scaled and flipped frame where the crop begins; negative where the crop begins in padding.
        left: Column of the scaled and flipped frame where the crop begins; negative likewise.
        crop_height: Height of the result.
        crop_width: Width of the result.
    """

    flip: bool
    height: int
    width: int
    top: int
    left: int
    crop_height: int
    crop_width: int

    def pick(self, pixels: NDArray[_Pixel], padding: object) -> NDArray[_Pixel]:
        """Return the result's pixels, each the nearest one of the frame.

        The source of a scaled pixel i is floor((i + 1/2) * old size / new size), one and the same for all arrays.

        Args:
            pixels: Shape (H, W, ...); only the pixels that the crop shows are read.
            padding: Value outside of the frame.
        """
        (_, from_rows), (_, from_columns) = self._overlaps()
        rows = nearest_pixels(pixels.shape[0], self.height)[from_rows]
        columns = nearest_pixels(pixels.shape[1], self.width)[from_columns]
        return self._place(pixels[rows][:, columns], padding)

    def average(self, pixels: NDArray[_Pixel], padding: object) -> NDArray[_Pixel]:
        """Return the result's pixels, averaged by area where the frame shrinks, and else interpolated linearly.

        Args:
            pixels: Shape (H, W, ...).
            padding: Value outside of the frame.
        """
        height, width = pixels.shape[:2]
        scaled: NDArray[Any] = pixels
        if (self.height, self.width) != (height, width):
            shrinks = self.height <= height and self.width <= width
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            scaled = cv2.resize(np.asarray(pixels), (self.width, self.height), interpolation=interpolation)
        (_, rows), (_, columns) = self._overlaps()
        return self._place(scaled[rows, columns], padding)

    def point(self, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
        """Return where a point of the frame lies in the result; pixel centres lie at integers.

        Args:
            x: Column in the frame.
            y: Row in the frame.
            size: Height and width of the frame.
        """
        height, width = size
        x = (x + 0.5) * self.width / width - 0.5
        y = (y + 0.5) * self.height / height - 0.5
        if self.flip:
            x = self.width - 1 - x
        return x - self.left, y - self.top

    def _overlaps(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        # The result is mirrored last, so the crop is taken where it lies before the flip.
        left = self.width - self.left - self.crop_width if self.flip else self.left
        return _overlap(self.top, self.height, self.crop_height), _overlap(left, self.width, self.crop_width)

    def _place(self, inside: NDArray[_Pixel], padding: object) -> NDArray[_Pixel]:
        (rows, _), (columns, _) = self._overlaps()
        placed = np.full((self.crop_height, self.crop_width, *inside.shape[2:]), padding, dtype=inside.dtype)
        placed[rows, columns] = inside
        return np.ascontiguousarray(placed[:, ::-1]) if self.flip else placed


def _overlap(offset: int, size: int, crop: int) -> tuple[slice, slice]:
    """Along one axis, the part of the crop that lies in the scaled frame: in the crop's pixels, in the frame's."""
    start = max(-offset, 0)
    stop = max(min(size - offset, crop), start)
    return slice(start, stop), slice(start + offset, stop + offset)


def nearest_pixels(size: int, scaled_size: int) -> NDArray[np.intp]:
    """Return the source pixel, of `size`, nearest to the centre of each scaled pixel; shape (scaled_size,)."""
    return (2 * np.arange(scaled_size) + 1) * size // (2 * scaled_size)
