"""The camera: how linear light becomes an 8-bit picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic.noise import hash3

Floats = NDArray[np.float64]

#: Steps of a response curve per unit of light, and the largest light that it knows.
STEPS, BRIGHTEST = 1024, 4
#: The grey, as linear light, that automatic exposure gives to the geometric mean of a picture.
GREY = 0.2


@dataclass(frozen=True)
class Response:
    """How one camera turns light into grey levels.

    Args:
        curve: Grey levels 0 to 255 of light in steps of 1 / `STEPS`, up to `BRIGHTEST`.
        gain: Exposure and white balance, a factor per channel (3,).
        saturation: Factor of the colours' distance from grey.
        vignetting: Loss of light towards the corners, 0 for none.
        noise: Standard deviation of the sensor's noise in dark parts, grey levels.
        blur: Standard deviation of the lens's blur, pixels.
        sharpening: How far edges are sharpened after the blur, 0 for not at all.
    """

    curve: Floats
    gain: Floats
    saturation: float
    vignetting: float
    noise: float
    blur: float
    sharpening: float


def random_response(rng: np.random.Generator) -> Response:
    """Draw a camera: soft or hard highlights, flat or steep mid-tones, any exposure near the right one."""
    light = np.arange(BRIGHTEST * STEPS) / STEPS
    soft = light * (1 + light / 6.0) / (1 + 0.75 * light)
    hard = rng.uniform(0.0, 1.0)
    display = np.clip(soft + hard * (light - soft), 0.0, 1.0) ** (1 / 2.2)
    steep = rng.uniform(1.0, 1.75)
    curved = display**steep / (display**steep + (1 - display) ** steep)
    black = rng.uniform(-0.02, 0.05)
    balance = np.array([rng.uniform(0.9, 1.1), 1.0, rng.uniform(0.88, 1.14)])
    return Response(
        curve=255.0 * np.clip(black + (1 - black) * curved, 0.0, 1.0),
        gain=balance * np.exp(rng.normal(-0.4, 0.45)),
        saturation=rng.uniform(0.65, 1.25),
        vignetting=rng.uniform(0.0, 0.3),
        noise=rng.uniform(0.6, 2.8),
        blur=rng.uniform(0.25, 0.75),
        sharpening=max(rng.uniform(-0.4, 0.6), 0.0),
    )


def exposure(light: NDArray[np.float32]) -> float:
    """Compute the factor that brings the geometric mean of linear light (H, W, 3) to `GREY`."""
    return GREY / float(np.exp(np.log(light.mean(-1) + 1e-3).mean()))


def photograph(light: NDArray[np.float32], response: Response, gain: float, seed: int) -> NDArray[np.uint8]:
    """Turn linear light (H, W, 3) into an RGB picture (H, W, 3); `seed` draws the sensor's noise."""
    height, width = light.shape[:2]
    soft = np.asarray(cv2.GaussianBlur(light, (5, 5), response.blur), np.float32)
    if response.sharpening:
        wide = cv2.GaussianBlur(soft, (5, 5), 1.0)
        soft = np.asarray(np.maximum(soft + response.sharpening * (soft - wide), 0.0), np.float32)
    y = (np.arange(height) - (height - 1) / 2)[:, None] / (width / 2)
    x = (np.arange(width) - (width - 1) / 2)[None] / (width / 2)
    falloff = np.asarray(1.0 / (1.0 + response.vignetting * (x * x + y * y)) ** 2, np.float32)
    picture = np.empty(light.shape, np.uint8)
    _develop(soft, falloff, gain * response.gain, response.saturation, response.curve, response.noise, seed, picture)
    return picture


@njit(cache=True, fastmath=True, error_model="numpy")
def _develop(
    image: NDArray[np.float32], falloff: NDArray[np.float32], gain: Floats, saturation: float, curve: Floats,
    noise: float, seed: int, out: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Fill `out` with grey levels; bright parts have less of the noise, which each `seed` draws anew."""
    top = curve.shape[0] - 1
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            k = falloff[y, x]
            r, g, b = image[y, x, 0] * gain[0] * k, image[y, x, 1] * gain[1] * k, image[y, x, 2] * gain[2] * k
            grey = 0.3 * r + 0.59 * g + 0.11 * b
            for c in range(3):
                v = r if c == 0 else (g if c == 1 else b)
                v = max(grey + saturation * (v - grey), 0.0)
                level = curve[min(int(v * STEPS), top)]
                u = hash3(x, y, seed + c) + hash3(x, y, seed + 3 + c) + hash3(x, y, seed + 6 + c) - 1.5
                level += noise * (2.0 - level / 170.0) * u
                out[y, x, c] = int(min(max(level + 0.5, 0.0), 255.0))
