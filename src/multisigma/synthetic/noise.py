"""Hashes and value noise, compiled.

Everything is a pure function of its arguments, so a surface point has the same texture in both views. Numba does not
notice a change of this file when it reuses the compiled renderer: remove the `__pycache__` folder after editing it.
"""

from __future__ import annotations

import math

from numba import njit

MASK = 0xFFFFFFFF


@njit(cache=True, fastmath=True, error_model="numpy")
def hash3(x: int, y: int, z: int) -> float:
    """A number in [0, 1) from three integers."""
    h = ((x * 73856093) ^ (y * 19349663) ^ (z * 83492791)) & MASK
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & MASK
    h = ((h ^ (h >> 12)) * 0x297A2D39) & MASK
    return h * (1.0 / 4294967296.0)


@njit(cache=True, fastmath=True, error_model="numpy")
def noise2(x: float, y: float, seed: int) -> float:
    """Smooth value noise in the plane, in [0, 1), lattice of side 1."""
    xf = math.floor(x)
    yf = math.floor(y)
    xi = int(xf)
    yi = int(yf)
    u = x - xf
    v = y - yf
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    a = hash3(xi, yi, seed)
    b = hash3(xi + 1, yi, seed)
    c = hash3(xi, yi + 1, seed)
    d = hash3(xi + 1, yi + 1, seed)
    top = a + (b - a) * u
    return top + (c + (d - c) * u - top) * v


@njit(cache=True, fastmath=True, error_model="numpy")
def noise3(x: float, y: float, z: float, seed: int) -> float:
    """Value noise in space, in [0, 1), lattice of side 1."""
    zf = math.floor(z)
    zi = int(zf)
    w = z - zf
    w = w * w * (3.0 - 2.0 * w)
    a = noise2(x, y, seed + 7919 * zi)
    b = noise2(x, y, seed + 7919 * (zi + 1))
    return a + (b - a) * w
