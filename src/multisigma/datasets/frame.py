"""One frame of a street scene with whatever labels it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.labels import INSTANCE_CLASSES, LABELS

__all__ = ["Camera", "Frame", "disparity_with_sky", "instance_centroids", "instance_vectors"]

_INSTANCE_CLASS_IDS = np.array([label.id for label in INSTANCE_CLASSES])
_SKY = next(label.id for label in LABELS if label.name == "sky")


@dataclass(frozen=True, slots=True)
class Camera:
    """Left camera of the rectified stereo pair: depth is `baseline * fx / disparity` metres.

    Args:
        baseline: Distance between the two cameras, metres.
        fx: Horizontal focal length, pixels at the frame's size.
        fy: Vertical focal length, pixels at the frame's size.
        u0: Column of the principal point, pixels; pixel centres lie at integers.
        v0: Row of the principal point, pixels.
    """

    baseline: float
    fx: float
    fy: float
    u0: float
    v0: float

    def resized(self, x: float, y: float) -> Camera:
        """Return the camera of the frame at another size.

        Args:
            x: New width over old width.
            y: New height over old height.
        """
        u0, v0 = (self.u0 + 0.5) * x - 0.5, (self.v0 + 0.5) * y - 0.5
        return Camera(self.baseline, self.fx * x, self.fy * y, u0, v0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One image and its labels; a kind of label that the frame does not have is None.

    Args:
        name: Name such as 'aachen_000000_000019'.
        image: RGB image, shape (H, W, 3).
        labels: Raw Cityscapes label ids, shape (H, W).
        instances: Raw instance ids, shape (H, W): class id * 1000 + number, or the class id alone for stuff and groups.
        centroids: Instance id -> (x, y) of the WHOLE instance's centroid in pixels, pixel centres at integers, for the
            instances of the eight `INSTANCE_CLASSES`. A centroid may lie outside the frame after a crop.
        disparity: Disparity in pixels at the frame's size, shape (H, W); NaN where invalid. Sky is as stored (mostly
            NaN): that it has zero inverse depth follows from the labels.
        camera: Camera at the frame's size.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    instances: NDArray[np.int32] | None
    centroids: dict[int, tuple[float, float]] | None
    disparity: NDArray[np.float32] | None
    camera: Camera | None


def instance_centroids(instances: NDArray[np.int32]) -> dict[int, tuple[float, float]]:
    """Return the mean position of all pixels of every instance of the eight `INSTANCE_CLASSES`.

    Ids below 1000 are groups or stuff, and caravans and trailers are not evaluated: neither is listed.

    Args:
        instances: Raw instance ids, shape (H, W).

    Returns:
        Instance id -> (x, y) in pixels, pixel centres at integers.
    """
    rows, columns = np.nonzero(instances >= 1000)
    ids = instances[rows, columns]
    counts = np.bincount(ids)
    x_sums = np.bincount(ids, weights=columns)
    y_sums = np.bincount(ids, weights=rows)
    found = np.flatnonzero(counts)
    found = found[np.isin(found // 1000, _INSTANCE_CLASS_IDS)]
    return {int(i): (float(x_sums[i] / counts[i]), float(y_sums[i] / counts[i])) for i in found}


def instance_vectors(frame: Frame) -> NDArray[np.float32]:
    """Return the vector from every instance pixel to its instance's centroid, the regression target of section 4.

    Args:
        frame: A frame with `instances` and `centroids`.

    Returns:
        Vectors in pixels, shape (2, H, W), x then y: centroid minus pixel coordinate; NaN where no instance is.

    Raises:
        ValueError: If the frame has no instance labels.
    """
    if frame.instances is None or frame.centroids is None:
        raise ValueError(f"Frame `{frame.name}` has no instance labels, so it has no instance vectors.")
    height, width = frame.instances.shape
    vectors = np.full((2, height, width), np.nan, dtype=np.float32)
    if not frame.centroids:
        return vectors
    table = np.full((2, max(int(frame.instances.max()), *frame.centroids) + 1), np.nan)
    table[:, list(frame.centroids)] = np.array(list(frame.centroids.values())).T
    rows, columns = np.nonzero(frame.instances >= 1000)
    ids = frame.instances[rows, columns]
    vectors[0, rows, columns] = table[0, ids] - columns
    vectors[1, rows, columns] = table[1, ids] - rows
    return vectors


def disparity_with_sky(
    disparity: NDArray[np.float32], labels: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the disparity with zero on the sky, which is infinitely far (section 5 of the paper).

    Args:
        disparity: Disparity in pixels, NaN where invalid; shape (H, W).
        labels: Raw label ids, shape (H, W); None if not known, and then no pixel is known to be sky.

    Returns:
        The disparity, and which pixels are sky; both of shape (H, W).
    """
    if labels is None:
        return disparity, np.zeros(disparity.shape, bool)
    sky = labels == _SKY
    return np.where(sky, np.float32(0), disparity), sky
