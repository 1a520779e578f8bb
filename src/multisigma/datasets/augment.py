"""Random flip, scale and crop of a frame with all its labels, as in appendix A.1 of the paper.

One explicit transform moves all fields of a frame and its camera together. Instance vectors are made afterwards
(`multisigma.datasets.frame.instance_vectors`), from the moved centroids of whole instances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multisigma.datasets.frame import Frame
from multisigma.datasets.transform import Transform
from multisigma.errors import MultisigmaError

__all__ = ["AugmentSettings", "apply_transform", "draw_transform"]


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges of the random transform. The defaults are those of appendix A.1 for full Cityscapes, but for the crop.

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
    """Scale, flip and crop a frame, each field by its own rule, and its camera.

    Args:
        frame: The frame.
        transform: The transform, drawn for the frame's size.

    Returns:
        A frame of the crop's size with the same fields.
    """
    fields = {name: field.warp(transform) for name, field in frame.fields.items()}
    camera = None if frame.camera is None else frame.camera.warp(transform, frame.size)
    return replace(frame, fields=fields, camera=camera)


def _draw_offset(room: int, rng: np.random.Generator) -> int:
    """Where a crop begins; `room` is the frame's size less the crop's, negative where the crop is the larger."""
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))
