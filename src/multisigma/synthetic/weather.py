"""Light and weather of a street."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic.lighting import (
    BOUNCE,
    CLOUDS,
    HAZE,
    HORIZON,
    LIGHT_SIZE,
    SEED,
    SHADE_BLUR,
    SKY_GAIN,
    SUN,
    SUN_DIRECTION,
    WET,
    ZENITH,
)

Floats = NDArray[np.float64]


def random_weather(rng: np.random.Generator) -> Floats:
    """Draw sun, sky and weather: the array that `lighting` reads; sunny, overcast, or with a low sun."""
    light = np.zeros(LIGHT_SIZE)
    kind = str(rng.choice(["sunny", "overcast", "low"], p=[0.42, 0.33, 0.25]))
    # Often along the street; across it, the houses leave much of the street in the shade.
    azimuth = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.normal(0.0, 0.5) + math.pi * rng.integers(2)
    height = math.radians({"sunny": rng.uniform(30, 62), "overcast": 80.0, "low": rng.uniform(12, 27)}[kind])
    light[SUN_DIRECTION : SUN_DIRECTION + 3] = [
        math.cos(height) * math.sin(azimuth), math.sin(height), math.cos(height) * math.cos(azimuth)
    ]  # fmt: skip
    if kind == "overcast":
        light[SUN : SUN + 3] = 0.35
        horizon = np.array([0.86, 0.88, 0.9]) * rng.uniform(0.75, 1.0)
        zenith = horizon * rng.uniform(0.75, 1.05) * [0.97, 0.99, 1.02]
        light[SHADE_BLUR] = 1.1
        light[CLOUDS] = rng.uniform(0.2, 1.0)
        light[WET] = rng.uniform(0.4, 1.0) if rng.random() < 0.35 else 0.0
    else:
        warm = rng.uniform(0.2, 0.45) if kind == "low" else 0.08
        light[SUN : SUN + 3] = rng.uniform(1.5, 3.0) * np.array([1.0, 1.0 - 0.4 * warm, 1.0 - 0.95 * warm])
        horizon = np.array([0.66 + 0.5 * warm, 0.75 + 0.1 * warm, 0.86 - 0.4 * warm])
        zenith = np.array([0.2, 0.36, 0.68]) * rng.uniform(0.8, 1.2)
        if rng.random() < 0.4:  # a thin veil over the blue
            zenith = zenith + rng.uniform(0.2, 0.8) * (horizon - zenith)
        light[CLOUDS] = rng.uniform(0.0, 0.9)
    light[ZENITH : ZENITH + 3], light[HORIZON : HORIZON + 3] = zenith, horizon
    light[BOUNCE : BOUNCE + 3] = np.array([0.13, 0.12, 0.11]) * (0.5 + 0.25 * light[SUN])
    light[HAZE] = rng.uniform(0.0, 0.0012) if rng.random() < 0.88 else rng.uniform(0.002, 0.006)
    light[SKY_GAIN] = rng.uniform(1.2, 3.0)
    light[SEED] = float(rng.integers(1 << 20))
    return light
