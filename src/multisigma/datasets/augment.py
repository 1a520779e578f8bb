"""Random flip, scale and crop of a frame with all its labels, as in appendix A.1 of the paper.

One explicit transform moves image, label ids, instance ids, disparity, camera and the table of whole-instance
centroids together. `multisigma.datasets.frame.instance_vectors` makes the instance vectors afterwards, so that they
always point at the whole instance's centroid, also where a crop cuts the instance or leaves its centroid outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera, Frame
from multisigma.errors import MultisigmaError

__all__ = ["AugmentSettings", "Transform", "apply_transform", "draw_transform"]

_Pixel = TypeVar("_Pixel", bound=np.generic)
_PADDING_COLOR = (124, 116, 104)  # the mean colour of ImageNet, so that padding is near zero once normalised


@dataclass(frozen=True)
class AugmentSettings:
    """What is drawn at random; the defaults are those of appendix A.1 for full Cityscapes, without the crop.

    Args:
        flip: Probability of a horizontal flip.
        scale: Smallest and largest scale; drawn uniformly between.
        crop: Height and width of the crop, at a uniformly drawn position; None keeps the whole scaled frame.

    Raises:
        MultisigmaError: If a value is out of its range.
    """

    flip: float = 0.5
    scale: tuple[float, float] = (0.7, 2.0)
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise MultisigmaError(f"`flip` must be a probability of 0 to 1. Found {self.flip}.")
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise MultisigmaError(f"`scale` must be two positive numbers, the smaller one first. Found {self.scale}.")
        if self.crop is not None and min(self.crop) < 1:
            raise MultisigmaError(f"`crop` must be a height and a width of at least 1 pixel. Found {self.crop}.")


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


def draw_transform(settings: AugmentSettings, height: int, width: int, rng: np.random.Generator) -> Transform:
    """Draw a transform for a frame.

    A crop larger than the scaled frame puts the frame at a random position within the crop.

    Args:
        settings: What to draw.
        height: Height of the frame.
        width: Width of the frame.
        rng: Source of randomness.
    """
    flip = bool(rng.random() < settings.flip)
    scale = rng.uniform(*settings.scale)
    scaled_height, scaled_width = max(round(height * scale), 1), max(round(width * scale), 1)
    crop_height, crop_width = settings.crop or (scaled_height, scaled_width)
    top = _draw_offset(scaled_height - crop_height, rng)
    left = _draw_offset(scaled_width - crop_width, rng)
    return Transform(flip, scaled_height, scaled_width, top, left, crop_height, crop_width)


def apply_transform(frame: Frame, transform: Transform) -> Frame:
    """Scale, flip and crop a frame with all its labels.

    The image is resized by area averaging where it shrinks and bilinearly where it grows. Label ids, instance ids and
    disparity take the nearest pixel, floor((i + 1/2) * old size / new size), one and the same for all three; disparity
    is multiplied by the ratio of widths. Padding is the mean colour of ImageNet, unlabeled, and invalid disparity.

    Args:
        frame: The frame.
        transform: The transform, drawn for the frame's size.

    Returns:
        A frame of the crop's size. Its centroids are those of the instances that the crop shows, at the transformed
        centroid of the whole instance.
    """
    height, width = frame.image.shape[:2]
    # The result is mirrored last, so the crop is taken where it lies before the flip.
    left = transform.width - transform.left - transform.crop_width if transform.flip else transform.left
    to_rows, from_rows = _overlap(transform.top, transform.height, transform.crop_height)
    to_columns, from_columns = _overlap(left, transform.width, transform.crop_width)
    rows = _nearest(from_rows, height, transform.height)
    columns = _nearest(from_columns, width, transform.width)

    def place(inside: NDArray[_Pixel], padding: object) -> NDArray[_Pixel]:
        shape = (transform.crop_height, transform.crop_width, *inside.shape[2:])
        placed = np.full(shape, padding, dtype=inside.dtype)
        placed[to_rows, to_columns] = inside
        return np.ascontiguousarray(placed[:, ::-1]) if transform.flip else placed

    image = frame.image
    if (transform.height, transform.width) != (height, width):
        shrinks = transform.height <= height and transform.width <= width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (transform.width, transform.height), interpolation=interpolation)  # type: ignore[assignment]
    ratio = transform.width / width
    labels, instances, disparity, centroids = frame.labels, frame.instances, frame.disparity, frame.centroids
    if labels is not None:
        labels = place(labels[rows][:, columns], 0)
    if instances is not None:
        instances = place(instances[rows][:, columns], 0)
    if disparity is not None:
        disparity = place(disparity[rows][:, columns] * np.float32(ratio), np.nan)
    if centroids is not None and instances is not None:
        visible = np.flatnonzero(np.bincount(instances.ravel()))
        centroids = {int(i): _move(centroids[int(i)], height, width, transform) for i in visible if int(i) in centroids}
    return Frame(
        name=frame.name,
        image=place(image[from_rows, from_columns], _PADDING_COLOR),
        labels=labels,
        instances=instances,
        centroids=centroids,
        disparity=disparity,
        camera=None if frame.camera is None else _move_camera(frame.camera, height, width, transform),
    )


def _draw_offset(room: int, rng: np.random.Generator) -> int:
    """Where a crop begins; `room` is the frame's size less the crop's, negative where the crop is the larger."""
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))


def _overlap(offset: int, size: int, crop: int) -> tuple[slice, slice]:
    """Along one axis, the part of the crop that lies in the scaled frame: in the crop's pixels, in the frame's."""
    start = max(-offset, 0)
    stop = max(min(size - offset, crop), start)
    return slice(start, stop), slice(start + offset, stop + offset)


def _nearest(scaled: slice, size: int, scaled_size: int) -> NDArray[np.intp]:
    """Source pixels, of `size`, nearest to the centres of scaled pixels; in exact integer arithmetic."""
    return (2 * np.arange(scaled.start, scaled.stop) + 1) * size // (2 * scaled_size)


def _move(point: tuple[float, float], height: int, width: int, transform: Transform) -> tuple[float, float]:
    """A point (x, y) of a frame of height x width, pixel centres at integers, in the pixels of the result."""
    x = (point[0] + 0.5) * transform.width / width - 0.5
    y = (point[1] + 0.5) * transform.height / height - 0.5
    if transform.flip:
        x = transform.width - 1 - x
    return x - transform.left, y - transform.top


def _move_camera(camera: Camera, height: int, width: int, transform: Transform) -> Camera:
    u0, v0 = _move((camera.u0, camera.v0), height, width, transform)
    fx, fy = camera.fx * transform.width / width, camera.fy * transform.height / height
    return replace(camera, fx=fx, fy=fy, u0=u0, v0=v0)
