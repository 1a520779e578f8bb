"""Colours of results, each with the scale that tells a reader what a colour means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray

# Okabe and Ito (2008): eight hues that the colour-blind tell apart, without black, which is 'no instance'.
_HUES: Final = np.array(
    [(86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)]
)
_SHADES: Final = (1.0, 0.7, 0.45)
_RIGHT, _WRONG = (206, 210, 216), (213, 94, 0)


@dataclass(frozen=True, slots=True)
class ColourScale:
    """The legend of a picture's colours.

    Args:
        title: What they stand for, with the unit.
        colours: Colours at even steps from left to right, as '#rrggbb'.
        ticks: Labels with their places, from 0 at the left to 1 at the right.
    """

    title: str
    colours: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]


def colour_disparity(disparity: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """Colour disparity by its square root: near is bright, far is dark.

    Args:
        disparity: Pixels, shape (H, W); nan becomes black.
        largest: The disparity of the brightest colour.

    Returns:
        RGB of shape (H, W, 3).
    """
    return _coloured("magma", np.sqrt(np.maximum(np.nan_to_num(disparity), 0) / largest), np.isnan(disparity))


def disparity_scale(largest: float, metres_times_pixels: float | None = None) -> ColourScale:
    """Return the scale of `colour_disparity`.

    Args:
        largest: The disparity of the brightest colour, pixels.
        metres_times_pixels: Depth times disparity of the camera, for labels in metres; None for labels in pixels.
    """
    colours = _colours("magma")
    if metres_times_pixels is None:
        places = {step: (step / largest) ** 0.5 for step in _steps(largest / 200, largest)}
        return ColourScale("disparity, px", colours, _spread(places))
    nearest = metres_times_pixels / largest
    places = {step: (nearest / step) ** 0.5 for step in _steps(nearest, 400 * nearest)}
    return ColourScale("depth, m", colours, _spread(places))


def colour_error(error: NDArray[np.floating], largest: float) -> NDArray[np.uint8]:
    """Colour errors from none, dark, to the largest, bright; nan becomes black."""
    return _coloured("cividis", np.nan_to_num(error) / largest, np.isnan(error))


def error_scale(title: str, largest: float) -> ColourScale:
    """Return the scale of `colour_error`."""
    places = {step: step / largest for step in (0.0, *_steps(largest / 5, largest))}
    return ColourScale(title, _colours("cividis"), _spread(places))


def colour_mistakes(is_wrong: NDArray[np.bool_], is_evaluated: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour right pixels pale, wrong ones vermilion, and those that are not evaluated black; each of shape (H, W)."""
    colours = np.where(is_wrong[..., None], np.array(_WRONG, np.uint8), np.array(_RIGHT, np.uint8))
    return np.where(is_evaluated[..., None], colours, np.uint8(0))


MISTAKES_SCALE: Final = ColourScale(
    "prediction", tuple("#{:02x}{:02x}{:02x}".format(*c) for c in (_RIGHT, _WRONG)), ((0.0, "right"), (1.0, "wrong"))
)
"""The scale of `colour_mistakes`."""


def colour_vectors(vectors: NDArray[np.float32], longest: float) -> NDArray[np.uint8]:
    """Colour vectors as figure 3 does: hue is the orientation, intensity the length.

    Args:
        vectors: (x, y) in pixels, shape (2, H, W); nan becomes black.
        longest: The length of full intensity, pixels.

    Returns:
        RGB of shape (H, W, 3).
    """
    x, y = np.nan_to_num(vectors)
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1.0
    # From a dark grey-blue tone upwards, so that short vectors stay apart from pixels without any.
    intensity = np.where(np.isnan(vectors[0]), 0.0, 0.25 + 0.75 * np.clip(np.hypot(x, y) / longest, 0, 1))
    sector = (hue[..., None] * 6 + np.array([0, 4, 2])) % 6
    rgb = np.clip(np.abs(sector - 3) - 1, 0, 1)
    return (255 * intensity[..., None] * rgb).round().astype(np.uint8)


def colour_instances(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Colour each instance: seven hues in three shades, in the order of the ids; 0 is black.

    Args:
        ids: Shape (H, W).

    Returns:
        RGB of shape (H, W, 3).

    Example:
        >>> colour_instances(np.array([[0, 24001]])).tolist()
        [[[0, 0, 0], [86, 180, 233]]]
    """
    names, index = np.unique(ids, return_inverse=True)
    numbers = np.cumsum(names != 0) - 1
    shades = np.array(_SHADES)[numbers // len(_HUES) % len(_SHADES), None]
    colours = np.where(names[:, None] != 0, _HUES[numbers % len(_HUES)] * shades, 0)
    return colours.round().astype(np.uint8)[index.reshape(ids.shape)]


def number_colours(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the colour of each number: seven hues in three shades, then again from the first; 0 is grey.

    Args:
        numbers: At least 0, shape (N,).

    Returns:
        RGB of shape (N, 3).

    Example:
        >>> number_colours(np.array([1, 22, 0])).tolist()
        [[86, 180, 233], [86, 180, 233], [128, 128, 128]]
    """
    places = np.maximum(numbers - 1, 0)
    shades = np.array(_SHADES)[places // len(_HUES) % len(_SHADES), None]
    colours = np.where(numbers[:, None] > 0, _HUES[places % len(_HUES)] * shades, 128)
    return colours.round().astype(np.uint8)


def _coloured(name: str, shares: NDArray[np.floating], unknown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Take the colours of a colour map at shares of 0 to 1; what is unknown is black."""
    rgb = np.asarray(_map(name, np.clip(shares, 0, 1)))
    rgb[unknown] = 0
    return (255 * rgb).round().astype(np.uint8)


def _map(name: str, shares: NDArray[np.floating]) -> NDArray[np.float64]:
    # Not from the very start, which magma has black.
    return np.asarray(matplotlib.colormaps[name](0.05 + 0.95 * shares))[..., :3]


def _colours(name: str) -> tuple[str, ...]:
    return tuple(matplotlib.colors.to_hex(colour) for colour in _map(name, np.linspace(0, 1, 16)))


def _steps(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten within a range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step for power in powers for digit in (1, 2, 5) if low <= (step := digit * 10.0**power) <= high]


def _spread(places: Mapping[float, float]) -> tuple[tuple[float, str], ...]:
    """Write the values at their places, largest place first, and leave out those too close to one before."""
    kept: list[tuple[float, str]] = []
    for value, place in sorted(places.items(), key=lambda entry: -entry[1]):
        if 0 <= place <= 1 and all(abs(place - other) >= 0.14 for other, _ in kept):
            kept.append((place, f"{value:g}"))
    return tuple(kept[::-1])
