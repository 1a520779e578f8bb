"""Colours and their scales."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from multisigma.visualization.colours import (
    MISTAKES_SCALE,
    colour_disparity,
    colour_error,
    colour_instances,
    colour_mistakes,
    disparity_scale,
    error_scale,
)


@pytest.mark.parametrize("factor", [None, 500.0])
def test_a_disparity_has_the_colour_that_its_scale_says(factor: float | None) -> None:
    """At each label of the scale, the colour of the picture is that of the scale."""
    largest = 40.0
    scale = disparity_scale(largest, factor)
    assert len(scale.ticks) >= 3
    stops = np.array([to_rgb(colour) for colour in scale.colours])
    for place, text in scale.ticks:
        disparity = float(text) if factor is None else factor / float(text)
        (colour,) = colour_disparity(np.array([[disparity]], np.float32), largest)[0] / 255
        expected = [np.interp(place, np.linspace(0, 1, len(stops)), stops[:, channel]) for channel in range(3)]
        np.testing.assert_allclose(colour, expected, atol=0.03)


def test_near_is_bright_and_no_label_is_black() -> None:
    near, far, unknown = colour_disparity(np.array([[30, 1, np.nan]], np.float32), 30.0)[0].astype(int)
    assert near.sum() > far.sum() > 0
    assert unknown.tolist() == [0, 0, 0]


def test_errors() -> None:
    none, half, most, unknown = colour_error(np.array([[0, 1, 7, np.nan]], np.float32), 2.0)[0].astype(int)
    assert none.sum() < half.sum() < most.sum()
    assert unknown.tolist() == [0, 0, 0]
    assert error_scale("px", 2.0).ticks[0] == (0.0, "0")
    assert error_scale("px", 2.0).ticks[-1] == (1.0, "2")


def test_mistakes() -> None:
    colours = colour_mistakes(np.array([[False, True, True]]), np.array([[True, True, False]]))[0].tolist()
    assert colours[:2] == [[round(255 * c) for c in to_rgb(colour)] for colour in MISTAKES_SCALE.colours]
    assert colours[2] == [0, 0, 0]


def test_instances_differ_in_brightness_where_hues_come_again() -> None:
    colours = colour_instances(np.arange(22)[None])[0]
    assert colours[0].tolist() == [0, 0, 0]
    assert len({tuple(colour) for colour in colours.tolist()}) == 22
    assert colours[8].sum() < 0.8 * colours[1].sum()
