# ruff: noqa: RUF005 - `array + list` adds numbers here
"""Traffic signs and lights.

Things stand at the origin and face +z, metres; `Geometry.place` says where the origin stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.shapes import Geometry

Floats = NDArray[np.float64]


def sign(g: Geometry, kind: int, y: float, size: float, facing: float, ink: int) -> None:
    """A traffic sign's plate, `size` metres high, with a stem behind; `kind` is its shape and `ink` its colours."""
    h = size / 2
    w = h * (1.5 if kind == 5 else 0.7 if kind == 6 else 1.0)
    corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    plate = np.array([[-w, y - h, 0.0], [w, y - h, 0.0], [w, y + h, 0.0], [-w, y + h, 0.0]])
    for offset, colours in ((0.05, ink), (0.03, -1)):
        g.quads(
            [plate + [0, 0, facing * offset]], m.SIGN, (0.5, 0.5, 0.5), corners, (float(min(kind, 5)), float(colours))
        )


def traffic_light(g: Geometry, y: float, facing: float, lit: int, pedestrian: bool) -> None:
    """A housing with two or three lamps whose lowest edge is at `y`; `lit` counts lamps from the top."""
    lamps = 2 if pedestrian else 3
    height = 0.3 * lamps
    g.box((0, y + height / 2, 0), (0.3, height, 0.24), m.PLAIN, (0.1, 0.11, 0.1))
    colours = (
        [(1.0, 0.12, 0.08), (0.1, 1.0, 0.45)] if pedestrian else [(1.0, 0.12, 0.08), (1.0, 0.7, 0.1), (0.1, 1.0, 0.45)]
    )
    for k, colour in enumerate(colours):
        centre = (0, y + height - 0.15 - 0.3 * k, facing * 0.12)
        on = k == lit
        dim = colour if on else tuple(0.25 * c for c in colour)
        g.ellipsoid(centre, (0.1, 0.1, 0.05), m.LAMP, np.array(dim), (2.5 if on else 0.0,))
