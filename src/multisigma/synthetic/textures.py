# ruff: noqa: RUF046 - compiled code: types are explicit, and comparisons are faster than tuples
"""Surfaces: procedural solid textures.

Textures are functions of a surface's own coordinates in metres and know the size of a pixel in them, so that patterns
finer than the pixels fade to their mean instead of aliasing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.facades import facade
from multisigma.synthetic.noise import bars, clamp, fade, grain2, grain3, hash3, noise2, noise3, pulse, smoothstep

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
RGB = tuple[float, float, float]


@njit(cache=True, fastmath=True, error_model="numpy")
def _sign(s: float, t: float, shape: int, ink: int, fs: float) -> RGB:
    """Colour of a traffic sign's face at (s, t) in [-1, 1]."""
    r = math.sqrt(s * s + t * t)
    white, red, blue, black = (0.85, 0.85, 0.84), (0.62, 0.03, 0.04), (0.02, 0.13, 0.5), (0.03, 0.03, 0.03)
    if ink < 0:
        return 0.3, 0.31, 0.32
    if shape == 0:
        if ink == 0:  # limit
            if r > 0.74:
                return red
            if (
                abs(t) < 0.36
                and (abs(s + 0.24) < 0.15 or abs(s - 0.24) < 0.15)
                and not (abs(t) < 0.16 and abs(s - 0.24) < 0.06)
            ):
                return black
            return white
        if ink == 1:  # mandatory
            if (abs(s) < 0.13 and abs(t) < 0.55) or (t > 0.1 and abs(abs(s) - 0.55 + t) < 0.16 and abs(s) < 0.5):
                return white
            return blue
        if ink == 2:  # no stopping
            if r > 0.74 or abs(s - t) < 0.2 or (ink == 3 and abs(s + t) < 0.2):
                return red
            return blue
        if abs(t) < 0.2 and abs(s) < 0.72:  # no entry
            return white
        return red
    if shape == 1 or shape == 2:
        e = t + 0.8 if shape == 1 else 0.8 - t
        slant = (1.0 - t if shape == 1 else 1.0 + t) - 1.8 * abs(s)
        if e < 0.22 or slant < 0.4:
            return red
        if shape == 1 and abs(s) < 0.09 and t > -0.5 and t < 0.2:
            return black
        return white
    if shape == 3:
        if abs(t) < 0.26 and abs(s) < 0.72 and math.sin(17.0 * s) > -0.3:
            return white
        return red
    if shape == 4:
        if abs(s) + abs(t) < 0.7:
            return 0.8, 0.55, 0.03
        return white
    edge = max(abs(s), abs(t))
    lines = (
        math.sin(9.0 * t) > 0.3
        and abs(s) < 0.75
        and hash3(int(math.floor(6 * s)), int(math.floor(1.5 * t)), ink) > 0.25
    )
    if ink == 0:
        return black if lines or edge > 0.92 else white
    if ink == 1:
        return black if lines or edge > 0.92 else (0.85, 0.6, 0.05)
    if ink == 2:  # parking
        bowl = abs(math.sqrt((s - 0.05) ** 2 + (t - 0.25) ** 2) - 0.32) < 0.12 and s > -0.1
        return white if bowl or (abs(s + 0.25) < 0.12 and abs(t) < 0.62) or edge > 0.92 else blue
    return white if lines or edge > 0.92 else blue


@njit(cache=True, fastmath=True, error_model="numpy")
def surface(
    material: int, s: float, t: float, fs: float, ft: float, px: float, py: float, pz: float, fp: float,
    colour: Floats, par: Floats, i: int, wet: float,
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """Albedo (three), share of mirrored sky at grazing angles, and own light of a point on primitive `i`."""
    r, g, b = colour[i, 0], colour[i, 1], colour[i, 2]
    gloss = 0.0
    if material == m.ASPHALT:
        seed = int(par[i, 0])
        k = 1.0 + 0.07 * grain2(s, t, fs, ft, seed)
        # Wear along the street, stains and dirt.
        k *= (
            1.0 + 0.16 * (noise2(0.9 * s, 0.11 * t, seed + 1) - 0.5) + 0.2 * (noise2(0.3 * s, 0.3 * t, seed + 10) - 0.5)
        )
        stain = noise2(1.1 * s, 0.7 * t, seed + 11) * noise2(0.31 * s, 0.23 * t, seed + 12)
        k *= 1.0 - 0.25 * smoothstep(0.34, 0.6, stain + 0.12 * (noise2(6.0 * s, 4.0 * t, seed + 14) - 0.5))
        fine = fade(max(fs, 0.4 * ft), 0.12)
        if fine > 0.0:
            k *= 1.0 + 0.3 * fine * (noise2(31.0 * s, 31.0 * t, seed + 13) - 0.5)
        cs, ct = math.floor(s / 2.6 + 0.3), math.floor(t / 7.0)
        if hash3(int(cs), int(ct), seed) < par[i, 1]:
            x, y = s - 2.6 * (cs - 0.3), t - 7.0 * ct
            w = 0.6 + 1.8 * hash3(int(cs), int(ct), seed + 1)
            d = 0.8 + 5.6 * hash3(int(cs), int(ct), seed + 2)
            k *= 1.0 + (0.55 * hash3(int(cs), int(ct), seed + 3) - 0.38) * pulse(x, 0.1, w, fs) * pulse(y, 0.2, d, ft)
        near = fade(max(fs, 0.4 * ft), 0.25)
        if near > 0.0:
            crack = abs(noise2(0.6 * s + 3.0 * noise2(0.5 * s, 0.5 * t, seed + 6), 0.35 * t, seed + 5) - 0.5)
            k *= 1.0 - 0.4 * par[i, 2] * clamp(1.0 - crack / 0.012) * near
        hs, ht = math.floor(s / 3.1), math.floor(t / 13.0)
        if hash3(int(hs), int(ht), seed + 8) < 0.35:
            x, y = s - 3.1 * hs - 1.5, t - 13.0 * ht - 1.0 - 11.0 * hash3(int(hs), int(ht), seed + 9)
            d = math.sqrt(x * x + y * y)
            ring = pulse(d, 0.26, 0.34, max(fs, ft)) + 0.55 * pulse(d, -1.0, 0.26, max(fs, ft))
            k *= 1.0 - 0.45 * ring
        k *= 1.0 - 0.38 * wet
        gloss = wet * (0.3 + 0.9 * smoothstep(0.42, 0.62, noise2(0.5 * s, 0.17 * t, seed + 3))) if wet > 0.0 else 0.0
        return r * k, g * k, b * k, gloss, 0.0
    if material == m.TILES:
        size, seed = par[i, 0], int(par[i, 1])
        k = 1.0 + 0.09 * grain2(s, t, fs, ft, seed)
        cs, ct = math.floor(s / size), math.floor(t / (size * par[i, 2]))
        apart = fade(max(fs, ft / par[i, 2]), 2.0 * size)
        k += apart * 0.2 * (hash3(int(cs), int(ct), seed) - 0.5)
        joint = max(bars(s, size, 0.02, fs), bars(t, size * par[i, 2], 0.02, ft))
        k *= 1.0 - 0.5 * joint
        k *= 1.0 + 0.3 * (noise2(0.7 * s, 0.4 * t, seed + 2) - 0.5) + 0.3 * (noise2(2.3 * s, 1.9 * t, seed + 3) - 0.5)
        gum = hash3(int(math.floor(4.0 * s)), int(math.floor(4.0 * t)), seed + 4)
        if gum > 0.9:
            k *= 1.0 - 0.25 * fade(max(fs, ft), 0.3)
        k *= 1.0 - 0.3 * wet
        return r * k, g * k, b * k, 0.35 * wet, 0.0
    if material == m.FACADE:
        r, g, b, gloss = facade(s, t, fs, ft, r, g, b, par[i])
        return r, g, b, gloss, 0.0
    if material == m.BRICK:
        seed = int(par[i, 0])
        length, height = par[i, 1], par[i, 2]
        row = math.floor(t / height)
        shift = 0.5 * length * (row % 2)
        joint = max(bars(t, height, 0.02 + 0.06 * height, ft), bars(s + shift, length, 0.02 + 0.04 * length, fs))
        k = 1.0 + 0.14 * grain2(s, t, fs, ft, seed) - 0.3 * joint
        k += (
            fade(max(fs / length, ft / height), 1.0)
            * 0.35
            * (hash3(int(math.floor((s + shift) / length)), int(row), seed) - 0.5)
        )
        k += 0.3 * (noise2(0.3 * s, 0.6 * t, seed + 3) - 0.5)
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.ROOF:
        k = (
            1.0
            + 0.12 * grain2(s, t, fs, ft, int(par[i, 0]))
            - 0.35 * bars(t, 0.3, 0.08, ft)
            - 0.12 * bars(s, 0.25, 0.06, fs)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.FOLIAGE:
        seed = int(par[i, 2])
        k = 1.0 / max(par[i, 0], 1.5 * fp)
        n = noise3(px * k, py * k, pz * k, seed)
        low = noise3(0.7 * px, 0.7 * py, 0.7 * pz, seed + 2) - 0.5
        if par[i, 3] > 0.0:  # twigs
            v = 0.8 + 0.5 * n + 0.4 * low
            return r * v, g * v, b * v, 0.0, 0.0
        middle = noise3(2.6 * px, 2.6 * py, 2.6 * pz, seed + 4)
        v = (1.75 - 1.1 * n - 0.85 * middle + 0.4 * low) * (1.0 + 0.35 * grain3(px, py, pz, fp, seed + 3))
        v = max(v, 0.12)  # between the leaves lies the crown's dark inside
        warm = 0.3 * low + 0.15 * (middle - 0.5)
        return r * v * (1.0 + warm), g * v, b * v * (1.0 - warm), 0.0, 0.0
    if material == m.GRASS:
        seed = int(par[i, 0])
        k = 1.0 + 0.3 * grain2(s, t, fs, ft, seed) + 0.5 * (noise2(0.6 * s, 0.3 * t, seed + 2) - 0.5)
        k *= 1.0 + 0.5 * fade(max(fs, 0.5 * ft), 0.1) * (noise2(40.0 * s, 18.0 * t, seed + 5) - 0.5)
        dry = par[i, 1] * smoothstep(0.45, 0.75, noise2(0.3 * s, 0.16 * t, seed + 4))
        return r * k * (1.0 + 0.5 * dry), g * k * (1.0 - 0.1 * dry), b * k * (1.0 + 0.2 * dry), 0.0, 0.0
    if material == m.FENCE:
        k = 1.0 + 0.14 * grain2(s, t, fs, ft, 31) - 0.35 * (1.0 - bars(s, par[i, 0], par[i, 1] * par[i, 0], fs))
        k *= 1.0 + 0.25 * fade(fs, 2.0 * par[i, 0]) * (hash3(int(math.floor(s / par[i, 0])), 5, 5) - 0.5)
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.PAINT:
        k = 1.0 + 0.035 * grain3(px, py, pz, fp, 7)
        return r * k, g * k, b * k, 0.55, 0.0
    if material == m.GLASS:
        k = 0.7 + 0.5 * noise3(2.2 * px, 2.2 * py, 2.2 * pz, 3)
        return r * k, g * k, b * k, 1.0, 0.0
    if material == m.WHEEL:
        d = s * s + t * t
        if d > 0.45:
            k = 0.013 + 0.008 * grain2(s, t, fs, ft, 3)
            return k, k, k, 0.0, 0.0
        turn = (math.atan2(t, s) + math.pi) * 5.0 / (2.0 * math.pi)
        turn -= math.floor(turn)
        if d > 0.04 and d < 0.36 and turn > 0.55:
            return 0.04, 0.04, 0.042, 0.0, 0.0
        return r, g, b, 0.3, 0.0
    if material == m.SIGN:
        r, g, b = _sign(s, t, int(par[i, 0]), int(par[i, 1]), fs)
        return r, g, b, 0.12, 0.0
    if material == m.LAMP:
        return r, g, b, 0.3, par[i, 0] * 0.6
    if material == m.CLOTH:
        k = (
            1.0
            + 0.3 * (noise3(9.0 * px, 5.0 * py, 9.0 * pz, 13) - 0.5) * fade(fp, 0.12)
            + 0.1 * grain3(px, py, pz, fp, 17)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.MARKING:
        worn = (
            smoothstep(0.25, 0.6, noise2(3.0 * s, 1.1 * t, 41) * 0.6 + 0.4 * noise2(11.0 * s, 5.0 * t, 42))
            if fs < 0.2
            else 0.8
        )
        k = (0.55 + 0.45 * worn) * (1.0 + 0.07 * grain2(s, t, fs, ft, 43))
        return r * k, g * k, b * k, 0.4 * wet, 0.0
    if material == m.METAL:
        k = 1.0 + 0.1 * grain3(px, py, pz, fp, 23)
        return r * k, g * k, b * k, 0.35, 0.0
    if material == m.BARK:
        k = (
            1.0
            + 0.5 * (noise3(14.0 * px, 3.0 * py, 14.0 * pz, 29) - 0.5) * fade(fp, 0.1)
            + 0.16 * grain3(px, py, pz, fp, 30)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.STRIPES:
        k = 1.0 - 4.0 * par[i, 1] * bars(s, par[i, 0], 0.07 * par[i, 0] + 0.01, fs) + 0.07 * grain2(s, t, fs, ft, 37)
        return r * k, g * k, b * k, 0.08, 0.0
    if material == m.CONCRETE:
        k = 1.0 + 0.12 * grain3(px, py, pz, fp, 19) + 0.25 * (noise3(0.6 * px, 0.9 * py, 0.6 * pz, 20) - 0.5)
        return r * k, g * k, b * k, 0.1 * wet, 0.0
    k = 1.0 + 0.06 * grain3(px, py, pz, fp, 5)
    return r * k, g * k, b * k, 0.0, 0.0
