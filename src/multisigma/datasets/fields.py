"""The fields of a frame. Each type knows how to scale, flip and crop itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.transform import Transform

__all__ = ["ClassMap", "Directions", "Disparity", "Field", "Image", "InstanceMap", "instance_centroids"]

# The mean colour of ImageNet, so that padding is near zero once normalised.
_PADDING_COLOR: Final = (124, 116, 104)


class Field(Protocol):
    """A value for each pixel of a frame. A user's own type implements `shape` and `warp`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""

    def warp(self, transform: Transform) -> Self:
        """Return the scaled, flipped and cropped field, which must not share memory with `self`."""


def _size(array: NDArray[Any]) -> tuple[int, int]:
    return array.shape[0], array.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An RGB image. To shrink it, pixels are averaged by area; to enlarge it, they are interpolated.

    Args:
        pixels: Shape (H, W, 3), uint8.
    """

    pixels: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return _size(self.pixels)

    def warp(self, transform: Transform) -> Image:
        """Return the image of the transformed frame; padding is the mean colour of ImageNet."""
        return Image(transform.average(self.pixels, _PADDING_COLOR))


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """The class of each pixel, resampled by nearest neighbour.

    Args:
        ids: Raw ids of the frame's label space, shape (H, W), uint8.
        void: Id of pixels without a label, such as padding.
    """

    ids: NDArray[np.uint8]
    void: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return _size(self.ids)

    def warp(self, transform: Transform) -> ClassMap:
        """Return the map of the transformed frame."""
        return ClassMap(transform.pick(self.ids, self.void), self.void)


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMap:
    """The instance of each pixel, resampled by nearest neighbour, and the centroids of the instances.

    A centroid is that of the whole instance, also after a crop that cuts the instance. The target vectors then still
    point to the same place, which may lie outside the crop.

    Args:
        ids: Shape (H, W), int32: class id * 1000 + number, or the class id alone for stuff and groups.
        centroids: Centroid (x, y) in pixels of each instance of an evaluated class, by instance id. Pixel centres lie
            at integers.
        void: Id of pixels without a label, such as padding.
    """

    ids: NDArray[np.int32]
    centroids: Mapping[int, tuple[float, float]]
    void: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return _size(self.ids)

    def warp(self, transform: Transform) -> InstanceMap:
        """Return the map of the transformed frame, with the centroids of the instances that it shows."""
        ids = transform.pick(self.ids, self.void)
        visible = np.flatnonzero(np.bincount(ids.ravel())).tolist()
        centroids = {i: transform.point(*self.centroids[i], self.shape) for i in visible if i in self.centroids}
        return InstanceMap(ids, centroids, self.void)


@dataclass(frozen=True, slots=True, eq=False)
class Disparity:
    """Disparity, resampled by nearest neighbour. Scaling the frame multiplies it by new width / old width.

    Args:
        values: Disparity in pixels at the frame's size, shape (H, W), float32; NaN where invalid. Sky is
            mostly NaN here; `disparity_with_sky` sets it to zero.
    """

    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return _size(self.values)

    def warp(self, transform: Transform) -> Disparity:
        """Return the disparity of the transformed frame; padding is NaN."""
        return Disparity(transform.pick(self.values, np.nan) * np.float32(transform.width / self.shape[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Unit vectors in the camera's coordinates, such as surface normals; resampled by nearest neighbour.

    A flip changes the sign of x.

    Args:
        vectors: (x right, y down, z forward), shape (H, W, 3), float32; NaN where invalid.
    """

    vectors: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return _size(self.vectors)

    def warp(self, transform: Transform) -> Directions:
        """Return the directions of the transformed frame; padding is NaN."""
        vectors = transform.pick(self.vectors, np.nan)
        if transform.flip:
            vectors[..., 0] *= -1
        return Directions(vectors)


def instance_centroids(ids: NDArray[np.int32], classes: Collection[int]) -> dict[int, tuple[float, float]]:
    """Return the centroid of every instance of some classes.

    Ids below 1000 are stuff or groups and have no centroid.

    Args:
        ids: Instance ids, shape (H, W).
        classes: Ids of the classes, such as `CITYSCAPES.instance_ids`.

    Returns:
        The mean (x, y) of the instance's pixels, by instance id. Pixel centres lie at integers.
    """
    counts, x_sums, y_sums = _sums(ids, max(int(ids.max(initial=0)) + 1, 1000))
    found = np.flatnonzero(counts)
    found = found[np.isin(found // 1000, list(classes))]
    return {int(i): (float(x_sums[i] / counts[i]), float(y_sums[i] / counts[i])) for i in found}


@njit(cache=True)
def _sums(ids: NDArray[np.int32], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of pixels, the sum of x and the sum of y of each id from 1000 up; shape (size,) each."""
    counts, x_sums, y_sums = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            i = ids[y, x]
            if i >= 1000:
                counts[i] += 1
                x_sums[i] += x
                y_sums[i] += y
    return counts, x_sums, y_sums
