"""Trees and shrubs.

Things stand at the origin and face +z, metres; `Geometry.place` says where the origin stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.shapes import Colour, Geometry

Floats = NDArray[np.float64]


def tree(
    g: Geometry, rng: np.random.Generator, height: float, leaf: Colour, spread: float = 1.0, crown: float = 0.42
) -> None:
    """A tree: trunk, a few boughs, and a crown of leafy clumps that begins at the share `crown` of its height."""
    foot = crown * height
    radius = 0.014 * height + 0.06
    bark = np.array([0.33, 0.27, 0.21]) * rng.uniform(0.75, 1.35)
    top = np.array([rng.normal(0, 0.15), foot + 0.2 * height, rng.normal(0, 0.15)])
    g.tube((0, -0.1, 0), (top * [0.4, 0.6, 0.4]), radius, m.BARK, bark, 7)
    g.tube(top * [0.4, 0.58, 0.4], top, 0.7 * radius, m.BARK, bark, 5)
    half = (height - foot) / 2
    seed = int(rng.integers(1 << 20))
    middle = np.array([0.0, foot + half, 0.0])
    wide = spread * half * rng.uniform(0.75, 1.05)
    # Small clumps about a few large ones: the outline is rough at several scales.
    clumps = int(rng.integers(20, 30))
    d = rng.normal(size=(clumps, 3))
    d *= rng.uniform(0.3, 0.95, (clumps, 1)) / np.linalg.norm(d, axis=1, keepdims=True)
    where = middle + d * [wide, half, wide]
    size = np.where(
        np.arange(clumps)[:, None] < 8, rng.uniform(0.42, 0.6, (clumps, 1)), rng.uniform(0.16, 0.36, (clumps, 1))
    )
    where[:8] = middle + 0.7 * (where[:8] - middle)
    size = size * min(half, wide) * [1.1, 1.0, 1.1]
    shade = rng.uniform(0.7, 1.15, (clumps, 1))
    g.clumps(
        where,
        size * rng.uniform(0.8, 1.2, (clumps, 3)),
        np.asarray(leaf) * shade,
        (rng.uniform(0.07, 0.14), rng.uniform(0.46, 0.6), seed),
    )
    for end in where[:4]:
        g.tube(top * [0.4, 0.7, 0.4], end, 0.35 * radius, m.BARK, bark, 4)


def shrubs(
    g: Geometry, rng: np.random.Generator, start: ArrayLike, end: ArrayLike, height: float, leaf: Colour
) -> None:
    """A hedge or a row of bushes between two points of the ground."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    n = max(int(np.linalg.norm(b - a) / (0.55 * height + 0.25)), 1)
    seed = int(rng.integers(1 << 20))
    along = (np.arange(n)[:, None] + 0.5) / n
    scatter = rng.normal(0, 0.09, (n, 3)) * [1.0, 0.0, 1.0]
    scatter[:, 1] = 0.45 * height * rng.uniform(0.85, 1.1, n)
    radii = rng.uniform(0.9, 1.2, (n, 3)) * [0.5 * height + 0.1, 0.58 * height, 0.5 * height + 0.15]
    g.clumps(
        a + along * (b - a) + scatter, radii, np.asarray(leaf) * rng.uniform(0.85, 1.15, (n, 1)), (0.11, 0.66, seed)
    )


def bare_tree(g: Geometry, rng: np.random.Generator, height: float, spread: float = 1.0, crown: float = 0.35) -> None:
    """A tree without leaves: trunk, boughs, branches, and clouds of twigs through which one sees."""
    bark = np.array([0.3, 0.26, 0.22]) * rng.uniform(0.6, 1.25)
    twig = np.array([0.34, 0.29, 0.25]) * rng.uniform(0.6, 1.2) * rng.uniform(0.95, 1.05, 3)
    radius = 0.014 * height + 0.05
    fork = crown * height
    g.tube((0, -0.1, 0), (0, fork, 0), radius, m.BARK, bark, 7)
    half = (height - fork) / 2
    wide = spread * half * rng.uniform(0.75, 1.05)
    boughs = int(rng.integers(5, 8))
    ends: list[Floats] = []
    for k in range(boughs):
        turn = 2 * np.pi * (k + rng.uniform(0, 0.7)) / boughs
        out = rng.uniform(0.3, 0.75) * wide
        start = np.array([0.0, fork * rng.uniform(0.75, 1.0), 0.0])
        end = np.array([out * np.cos(turn), fork + half * rng.uniform(0.6, 1.3), out * np.sin(turn)])
        g.tube(start, end, 0.5 * radius, m.BARK, bark, 4)
        for _ in range(4):
            way = rng.normal(size=3) * [0.35 * wide, 0.22 * half, 0.35 * wide] + (end - start) * 0.28
            way[1] = abs(way[1])
            at = start + (end - start) * rng.uniform(0.55, 1.0)
            g.tube(at, at + way, 0.2 * radius, m.BARK, twig, 3)
            ends.append(at + way)
    where = np.array(ends)
    size = np.full((len(where), 3), 0.34 * min(half, wide)) * rng.uniform(0.7, 1.3, (len(where), 3))
    seed = int(rng.integers(1 << 20))
    g.clumps(where, size, twig * np.ones((len(where), 3)), (rng.uniform(0.1, 0.2), rng.uniform(0.4, 0.8), seed, 1.0))
