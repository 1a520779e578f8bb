"""Hashes, value noise and filtered patterns, compiled.

Everything is a pure function of its arguments, so a surface point has the same texture in both views. Numba does not
notice a change of this file when it reuses the compiled renderer: remove the `__pycache__` folder after editing it.
"""

from __future__ import annotations

import math

from numba import njit

MASK = 0xFFFFFFFF


# The signature makes one function of it; each kind of integer would compile its own.
@njit("float64(int64, int64, int64)", cache=True, fastmath=True, error_model="numpy")
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


@njit(cache=True, fastmath=True, error_model="numpy")
def clamp(x: float) -> float:
    """Limit a number to [0, 1]."""
    return min(max(x, 0.0), 1.0)


@njit(cache=True, fastmath=True, error_model="numpy")
def smoothstep(low: float, high: float, x: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    u = clamp((x - low) / (high - low))
    return u * u * (3.0 - 2.0 * u)


@njit(cache=True, fastmath=True, error_model="numpy")
def pulse(x: float, low: float, high: float, footprint: float) -> float:
    """The share of a pixel of size `footprint` around x that lies between `low` and `high`."""
    h = 0.5 * footprint + 1e-6
    return clamp((min(x + h, high) - max(x - h, low)) / (2.0 * h))


@njit(cache=True, fastmath=True, error_model="numpy")
def bars(x: float, period: float, width: float, footprint: float) -> float:
    """Like `pulse`, for bars of `width` repeated each `period`."""
    if footprint > 0.5 * period:
        return width / period
    phase = x - period * math.floor(x / period)
    return pulse(phase, 0.0, width, footprint) + pulse(phase - period, 0.0, width, footprint)


@njit(cache=True, fastmath=True, error_model="numpy")
def fade(footprint: float, wavelength: float) -> float:
    """How far a pattern of `wavelength` can be told in a pixel of size `footprint`: 1 to 0."""
    return clamp(2.0 - 3.0 * footprint / wavelength)


@njit(cache=True, fastmath=True, error_model="numpy")
def grain2(s: float, t: float, fs: float, ft: float, seed: int) -> float:
    """Noise of a few pixels' size at any distance, in [-1, 1]: stereo matching finds something on every surface."""
    ks = math.ldexp(1.0, -max(math.frexp(2.2 * fs)[1], -7))
    kt = math.ldexp(1.0, -max(math.frexp(2.2 * ft)[1], -7))
    return 1.7 * noise2(0.8 * s * ks, 0.8 * t * kt, seed) - 0.85


@njit(cache=True, fastmath=True, error_model="numpy")
def grain3(x: float, y: float, z: float, footprint: float, seed: int) -> float:
    """Like `grain2`, in space."""
    k = math.ldexp(1.0, -max(math.frexp(2.2 * footprint)[1], -7))
    return 2.0 * noise3(x * k, y * k, z * k, seed) - 1.0
