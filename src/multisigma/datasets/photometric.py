"""Random changes of an image's colour, sharpness and compression, which leave the labels as they are.

Not in the paper. A network that has seen generated streets alone needs them to read photographs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError

__all__ = ["PhotometricSettings", "change_photometry"]

_LUMA = np.array([0.299, 0.587, 0.114])
_PROBABILITIES = ("blur", "noise", "jpeg")


@dataclass(frozen=True)
class PhotometricSettings:
    """Strengths of the changes; 0 switches one off.

    Args:
        exposure: Largest change of the exposure, in stops, up or down.
        gamma: Largest change of the logarithm of gamma.
        white_balance: Largest change of the logarithm of the gains of red and of blue.
        contrast: Largest change of the contrast about the mean, below 1.
        saturation: Largest change of the saturation, at most 1.
        hue: Largest rotation of the hue, in degrees.
        blur: Probability of a Gaussian blur, whose sigma is at most 1.5 px.
        noise: Probability of Gaussian noise, whose sigma is at most 12 of 255.
        jpeg: Probability of a JPEG compression, of a quality from 25 to 90.

    Raises:
        MultisigmaError: A strength is negative or too large.
    """

    exposure: float = 0.0
    gamma: float = 0.0
    white_balance: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        limits = dict.fromkeys((*_PROBABILITIES, "saturation", "contrast"), 1.0) | {"hue": 180.0}
        for name, value in dataclasses.asdict(self).items():
            most = limits.get(name, 3.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise MultisigmaError(f"Parameter `photometric.{name}` must be from 0 to {most:g}. Found {value!r}.")

    @classmethod
    def parse(cls, strengths: Mapping[str, float]) -> PhotometricSettings:
        """Make settings from strengths by name.

        Raises:
            MultisigmaError: A name is unknown, or a strength out of its range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(strengths) - set(known)):
            raise MultisigmaError(f"Parameter `photometric` has {', '.join(known)}. Found {', '.join(unknown)}.")
        return cls(**strengths)


def change_photometry(
    image: NDArray[np.uint8], settings: PhotometricSettings, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change an image's exposure, colour, sharpness, noise and compression at random.

    Args:
        image: RGB of shape (H, W, 3).
        settings: How strong the changes are.
        rng: Source of randomness.

    Returns:
        RGB of the same shape, a new array.

    Example:
        >>> import numpy as np
        >>> grey = np.full((4, 4, 3), 128, np.uint8)
        >>> changed = change_photometry(grey, PhotometricSettings(exposure=1.0), np.random.default_rng(0))
        >>> changed.shape, bool((changed != grey).any())
        ((4, 4, 3), True)
    """
    pixels: Any = cv2.LUT(image, _tone_curves(image, settings, rng))
    if settings.saturation or settings.hue:
        pixels = cv2.transform(pixels, _colour_matrix(settings, rng))
    # Drawn in any case, so that one strength does not change the numbers of another.
    blurred, noisy, compressed = rng.random(3) < (settings.blur, settings.noise, settings.jpeg)
    if blurred:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.5))
    if noisy:
        sigma = rng.uniform(1, 12)
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(sigma)
        pixels = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    if compressed:
        quality = int(rng.integers(25, 91))
        # OpenCV takes blue first; the compression treats the colours unlike.
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _tone_curves(
    image: NDArray[np.uint8], settings: PhotometricSettings, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw the new value of each old one; shape (1, 256, 3)."""
    stops, gamma, red, blue, contrast = rng.uniform(-1, 1, 5) * (
        settings.exposure,
        settings.gamma,
        settings.white_balance,
        settings.white_balance,
        settings.contrast,
    )
    values = np.arange(256)[:, None] / 255
    mean = float(image.mean()) / 255
    values = np.clip(mean + (1 + contrast) * (values - mean), 0, 1)
    # Exposure and white balance act on light, whose 2.2th root a camera stores.
    gains = np.exp2(stops) * np.exp([red, 0.0, blue])
    curves = np.clip(values ** (2.2 * np.exp(gamma)) * gains, 0, 1) ** (1 / 2.2)
    return np.rint(255 * curves).astype(np.uint8)[None]


def _colour_matrix(settings: PhotometricSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the matrix that scales the saturation and rotates the hue about the grey axis; shape (3, 3)."""
    saturation, hue = rng.uniform(-1, 1, 2) * (settings.saturation, settings.hue)
    grey = np.tile(_LUMA, (3, 1))
    cosine, sine = math.cos(math.radians(hue)), math.sin(math.radians(hue))
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    rotation = cosine * np.eye(3) + sine * cross + (1 - cosine) / 3
    matrix: NDArray[np.float32] = (rotation @ (grey + (1 + saturation) * (np.eye(3) - grey))).astype(np.float32)
    return matrix
