"""What stands about on pavements: bins, cabinets, benches, planters, boards, columns with posters."""

from __future__ import annotations

import numpy as np

from multisigma.synthetic import materials as m
from multisigma.synthetic.shapes import Geometry

BIN_COLOURS = ((0.2, 0.21, 0.22), (0.14, 0.24, 0.42), (0.14, 0.28, 0.17), (0.55, 0.45, 0.1), (0.08, 0.08, 0.085))


def random_piece(g: Geometry, rng: np.random.Generator) -> None:
    """Put one piece, a void class of Cityscapes ('static', or 'dynamic' if people move it), at the origin."""
    pieces = (bins, cabinet, bench, planter, board, column, heap)
    pieces[int(rng.choice(len(pieces), p=[0.25, 0.17, 0.16, 0.12, 0.14, 0.06, 0.1]))](g, rng)


def bins(g: Geometry, rng: np.random.Generator) -> None:
    """One to three wheeled bins, or a round litter bin."""
    g.begin("dynamic")
    colour = np.array(BIN_COLOURS[int(rng.integers(len(BIN_COLOURS)))])
    if rng.random() < 0.4:
        g.tube((0, 0.1, 0), (0, 0.95, 0), 0.24, m.METAL, colour, 9)
        g.ellipsoid((0, 0.95, 0), (0.26, 0.1, 0.26), m.METAL, colour * 0.8)
        return
    for k in range(int(rng.integers(1, 4))):
        g.box((0.7 * k, 0.52, 0), (0.58, 1.0, 0.6), m.PLAIN, colour)
        g.box((0.7 * k, 1.05, 0), (0.64, 0.08, 0.66), m.PLAIN, colour * 0.8)


def cabinet(g: Geometry, rng: np.random.Generator) -> None:
    """A grey or green box of the power or telephone network."""
    g.begin("static")
    size = (rng.uniform(0.6, 1.4), rng.uniform(0.9, 1.5), 0.4)
    g.box((0, size[1] / 2, 0), size, m.CONCRETE, np.array([0.45, 0.47, 0.44]) * rng.uniform(0.5, 1.2))


def bench(g: Geometry, rng: np.random.Generator) -> None:
    """A bench of planks, 1.7 m wide."""
    g.begin("static")
    wood = np.array([0.38, 0.28, 0.19]) * rng.uniform(0.6, 1.2)
    for y, z in ((0.45, -0.1), (0.45, 0.08), (0.45, 0.26), (0.66, -0.24), (0.84, -0.29)):
        g.box((0, y, z), (1.7, 0.09 if y > 0.5 else 0.04, 0.04 if y > 0.5 else 0.14), m.BARK, wood)
    for x in (-0.7, 0.7):
        g.box((x, 0.22, 0.05), (0.06, 0.44, 0.4), m.METAL, (0.15, 0.15, 0.16))


def planter(g: Geometry, rng: np.random.Generator) -> None:
    """A tub; its shrub is vegetation."""
    g.begin("static")
    g.box((0, 0.3, 0), (1.0, 0.6, 0.7), m.CONCRETE, np.full(3, rng.uniform(0.3, 0.6)))
    g.begin("vegetation")
    leaf = np.array([[0.22, 0.3, 0.14]]) * rng.uniform(0.7, 1.2)
    g.clumps(np.array([[0.0, 0.8, 0.0]]), np.array([[0.5, 0.4, 0.36]]), leaf, (0.07, 0.6, int(rng.integers(1 << 20))))


def board(g: Geometry, rng: np.random.Generator) -> None:
    """A board of a shop on the pavement."""
    g.begin("dynamic")
    g.box((0, 0.55, 0), (0.65, 1.0, 0.12), m.STRIPES, rng.uniform(0.08, 0.8, 3), (0.09, 0.12))


def column(g: Geometry, rng: np.random.Generator) -> None:
    """A column with posters, 2.7 m high."""
    g.begin("static")
    g.tube((0, 0, 0), (0, 2.6, 0), 0.65, m.CLOTH, rng.uniform(0.2, 0.8, 3), 9)
    g.ellipsoid((0, 2.65, 0), (0.75, 0.2, 0.75), m.CONCRETE, (0.25, 0.28, 0.26))


def heap(g: Geometry, rng: np.random.Generator) -> None:
    """Bags and boxes that wait for collection."""
    g.begin("dynamic")
    for _ in range(int(rng.integers(2, 6))):
        at = rng.normal(0, 0.35, 2)
        if rng.random() < 0.6:
            g.ellipsoid((at[0], 0.28, at[1] * 0.5), (0.28, 0.32, 0.26), m.CLOTH, np.full(3, rng.uniform(0.05, 0.2)))
        else:
            g.box(
                (at[0], 0.2, at[1] * 0.5), (0.5, 0.4, 0.35), m.PLAIN, np.array([0.5, 0.4, 0.28]) * rng.uniform(0.7, 1.2)
            )
