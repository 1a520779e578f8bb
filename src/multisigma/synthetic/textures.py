# ruff: noqa: RUF046 - compiled code: types are explicit, and comparisons are faster than tuples
"""Shading: procedural solid textures, sun and sky light, shadows, reflections and haze.

Textures are functions of a surface's own coordinates in metres and know the size of a pixel in them, so that patterns
finer than the pixels fade to their mean instead of aliasing. Colours are linear light until `develop`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.noise import hash3, noise2, noise3

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
RGB = tuple[float, float, float]

# Places in the array that describes light and weather.
SUN_DIRECTION, SUN, ZENITH, HORIZON, BOUNCE = 0, 3, 6, 9, 12
HAZE, WET, CLOUDS, SEED, SHADE_BLUR = 15, 16, 17, 18, 19
LIGHT_SIZE = 20


@njit(cache=True, fastmath=True, error_model="numpy")
def _clamp(x: float) -> float:
    return min(max(x, 0.0), 1.0)


@njit(cache=True, fastmath=True, error_model="numpy")
def _step(low: float, high: float, x: float) -> float:
    u = _clamp((x - low) / (high - low))
    return u * u * (3.0 - 2.0 * u)


@njit(cache=True, fastmath=True, error_model="numpy")
def _pulse(x: float, low: float, high: float, footprint: float) -> float:
    """The share of a pixel of size `footprint` around x that lies between `low` and `high`."""
    h = 0.5 * footprint + 1e-6
    return _clamp((min(x + h, high) - max(x - h, low)) / (2.0 * h))


@njit(cache=True, fastmath=True, error_model="numpy")
def _bars(x: float, period: float, width: float, footprint: float) -> float:
    """Like `_pulse` for bars of `width` repeated each `period`."""
    if footprint > 0.5 * period:
        return width / period
    phase = x - period * math.floor(x / period)
    return _pulse(phase, 0.0, width, footprint) + _pulse(phase - period, 0.0, width, footprint)


@njit(cache=True, fastmath=True, error_model="numpy")
def _fade(footprint: float, wavelength: float) -> float:
    return _clamp(2.0 - 3.0 * footprint / wavelength)


@njit(cache=True, fastmath=True, error_model="numpy")
def _grain2(s: float, t: float, fs: float, ft: float, seed: int) -> float:
    """Noise of a few pixels' size at any distance, in [-1, 1]: stereo matching finds something on every surface."""
    ks = math.ldexp(1.0, -max(math.frexp(2.2 * fs)[1], -7))
    kt = math.ldexp(1.0, -max(math.frexp(2.2 * ft)[1], -7))
    return 1.7 * noise2(0.8 * s * ks, 0.8 * t * kt, seed) - 0.85


@njit(cache=True, fastmath=True, error_model="numpy")
def _grain3(x: float, y: float, z: float, footprint: float, seed: int) -> float:
    k = math.ldexp(1.0, -max(math.frexp(2.2 * footprint)[1], -7))
    return 2.0 * noise3(x * k, y * k, z * k, seed) - 1.0


@njit(cache=True, fastmath=True, error_model="numpy")
def sky(dx: float, dy: float, dz: float, light: Floats, clouds: bool) -> RGB:
    """Light of the sky in a direction of length 1."""
    up = max(dy, 0.0)
    w = math.sqrt(up)
    r = light[HORIZON] + (light[ZENITH] - light[HORIZON]) * w
    g = light[HORIZON + 1] + (light[ZENITH + 1] - light[HORIZON + 1]) * w
    b = light[HORIZON + 2] + (light[ZENITH + 2] - light[HORIZON + 2]) * w
    towards = max(dx * light[SUN_DIRECTION] + dy * light[SUN_DIRECTION + 1] + dz * light[SUN_DIRECTION + 2], 0.0)
    glow = 0.25 * towards**8 + 0.8 * towards**64
    r += glow * light[SUN] * 0.35
    g += glow * light[SUN + 1] * 0.35
    b += glow * light[SUN + 2] * 0.35
    if clouds and light[CLOUDS] > 0.0:
        k = 1.0 / (up + 0.12)
        s, t, seed = dx * k, dz * k, int(light[SEED])
        n = 0.5 * noise2(0.9 * s, 0.9 * t, seed) + 0.28 * noise2(2.1 * s, 2.1 * t, seed + 1)
        n += 0.14 * noise2(4.7 * s, 4.7 * t, seed + 2) + 0.08 * noise2(10.1 * s, 10.1 * t, seed + 3)
        cover = _step(0.72 - 0.5 * light[CLOUDS], 0.98 - 0.5 * light[CLOUDS], n)
        lit = 0.75 + 0.5 * (n - 0.5)
        bright = 1.15 * lit * (light[HORIZON] + light[HORIZON + 1] + light[HORIZON + 2]) / 3.0 + 0.1 * light[SUN]
        r += cover * (bright - r)
        g += cover * (bright - g)
        b += cover * (bright * 1.02 - b)
    return r, g, b


@njit(cache=True, fastmath=True, error_model="numpy")
def _sunlit(
    px: float,
    py: float,
    pz: float,
    light: Floats,
    basis: Floats,
    origin: Floats,
    texel: float,
    shadow: NDArray[np.float32],
) -> float:
    """Share of the sun's light that reaches a point: percentage-closer filtering of the shadow map."""
    n = shadow.shape[0]
    x = (basis[0, 0] * px + basis[0, 1] * py + basis[0, 2] * pz - origin[0]) / texel
    y = (basis[1, 0] * px + basis[1, 1] * py + basis[1, 2] * pz - origin[1]) / texel
    h = basis[2, 0] * px + basis[2, 1] * py + basis[2, 2] * pz + 0.12
    if light[SHADE_BLUR] > 0.0:  # the soft shadow of an overcast sky
        spread = light[SHADE_BLUR] / texel
        total = 0.0
        for j in range(-1, 2):
            for i in range(-1, 2):
                xi = int(x + i * spread)
                yi = int(y + j * spread)
                if xi < 0 or yi < 0 or xi >= n or yi >= n or shadow[yi, xi] <= h:
                    total += 1.0
        return total / 9.0
    xi, yi = int(math.floor(x)), int(math.floor(y))
    if xi < 0 or yi < 0 or xi >= n - 1 or yi >= n - 1:
        return 1.0
    u, v = x - xi, y - yi
    total = 0.0
    if shadow[yi, xi] <= h:
        total += (1.0 - u) * (1.0 - v)
    if shadow[yi, xi + 1] <= h:
        total += u * (1.0 - v)
    if shadow[yi + 1, xi] <= h:
        total += (1.0 - u) * v
    if shadow[yi + 1, xi + 1] <= h:
        total += u * v
    return total


@njit(cache=True, fastmath=True, error_model="numpy")
def _facade(s: float, t: float, fs: float, ft: float, par: Floats, i: int) -> tuple[float, float, float, float, float]:
    """A house front: (wall factor, glass share, glass brightness, trim share, tint) at `s` along and `t` up."""
    storey, spacing, wide, tall, seed = par[i, 0], par[i, 1], par[i, 2], par[i, 3], int(par[i, 4])
    style = int(par[i, 5])
    row = math.floor(t / storey)
    column = math.floor(s / spacing)
    y = t - row * storey
    x = s - column * spacing
    # Above the distance where windows can be told apart, their mean stands for them.
    blur = _step(0.3, 0.6, max(fs / spacing, ft / storey))
    w, h = wide * spacing, tall * storey
    low = 0.3 * storey
    x0 = 0.5 * (spacing - w)
    wall, tint = 1.0, 0.0
    r, c = int(row), int(column)
    if r == 0 and style >= 1:
        if style == 1:  # shops: wide panes under a coloured band
            w, x0, low, h = 0.86 * spacing, 0.07 * spacing, 0.1 * storey, 0.66 * storey
            tint = _pulse(y, 0.8 * storey, 0.95 * storey, ft)
        elif hash3(c, 3, seed) < 0.3:  # doors
            w, x0, low, h = min(1.3, 0.6 * spacing), 0.5 * (spacing - min(1.3, 0.6 * spacing)), 0.0, 0.72 * storey
    edge = 0.09 + 0.05 * hash3(1, 2, seed)
    frame = _pulse(x, x0 - edge, x0 + w + edge, fs) * _pulse(y, low - edge, low + h + edge, ft)
    glass = _pulse(x, x0, x0 + w, fs) * _pulse(y, low, low + h, ft)
    cross = _pulse(x, x0 + 0.5 * w - 0.035, x0 + 0.5 * w + 0.035, fs)
    if style != 3:
        cross = max(cross, _pulse(y, low + 0.68 * h - 0.03, low + 0.68 * h + 0.03, ft))
    glass *= 1.0 - 0.85 * cross
    pane = hash3(c, r, seed)
    bright = 0.05 + 0.1 * hash3(c, r, seed + 9)
    if pane > 0.6:  # curtains and blinds
        drop = low + h * (1.0 - 0.9 * hash3(r, c, seed + 4))
        bright += 0.3 * _pulse(y, drop, low + h + 1.0, ft) * (0.6 + 0.4 * _bars(s, 0.14, 0.07, fs))
    sill = _pulse(y, low - edge - 0.12, low - edge, ft) * _pulse(x, x0 - edge - 0.1, x0 + w + edge + 0.1, fs)
    shade = _pulse(y, low - edge - 0.34, low - edge - 0.12, ft) * _pulse(x, x0 - edge, x0 + w + edge, fs)
    band = 0.0
    if style == 2 or style == 4:
        band = _pulse(y, 0.0, 0.16, ft) if row > 0 else 0.0
    wall -= 0.16 * shade
    trim = max(max(frame - glass, 0.0), max(sill, band))
    mean = wide * tall
    glass += blur * (mean * 0.9 - glass)
    trim += blur * (0.12 - trim)
    bright += blur * (0.14 - bright)
    return wall, glass, bright, trim, tint


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
def _surface(
    material: int, s: float, t: float, fs: float, ft: float, px: float, py: float, pz: float, fp: float,
    colour: Floats, par: Floats, i: int, wet: float,
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """Albedo (three), share of mirrored sky at grazing angles, and own light of a point on primitive `i`."""
    r, g, b = colour[i, 0], colour[i, 1], colour[i, 2]
    gloss = 0.0
    if material == m.ASPHALT:
        seed = int(par[i, 0])
        k = 1.0 + 0.16 * _grain2(s, t, fs, ft, seed)
        k += 0.2 * (noise2(0.8 * s, 0.2 * t, seed + 1) - 0.5)
        cs, ct = math.floor(s / 2.6 + 0.3), math.floor(t / 7.0)
        if hash3(int(cs), int(ct), seed) < par[i, 1]:
            x, y = s - 2.6 * (cs - 0.3), t - 7.0 * ct
            w = 0.8 + 1.6 * hash3(int(cs), int(ct), seed + 1)
            d = 1.5 + 5.0 * hash3(int(cs), int(ct), seed + 2)
            k *= 1.0 + (0.45 * hash3(int(cs), int(ct), seed + 3) - 0.28) * _pulse(x, 0.1, w, fs) * _pulse(y, 0.2, d, ft)
        fade = _fade(max(fs, 0.4 * ft), 0.25)
        if fade > 0.0:
            crack = abs(noise2(0.6 * s + 3.0 * noise2(0.5 * s, 0.5 * t, seed + 6), 0.35 * t, seed + 5) - 0.5)
            k *= 1.0 - 0.4 * par[i, 2] * _clamp(1.0 - crack / 0.012) * fade
        hs, ht = math.floor(s / 3.1), math.floor(t / 13.0)
        if hash3(int(hs), int(ht), seed + 8) < 0.35:
            x, y = s - 3.1 * hs - 1.5, t - 13.0 * ht - 1.0 - 11.0 * hash3(int(hs), int(ht), seed + 9)
            d = math.sqrt(x * x + y * y)
            ring = _pulse(d, 0.26, 0.34, max(fs, ft)) + 0.55 * _pulse(d, -1.0, 0.26, max(fs, ft))
            k *= 1.0 - 0.45 * ring
        k *= 1.0 - 0.38 * wet
        gloss = wet * (0.3 + 0.9 * _step(0.42, 0.62, noise2(0.5 * s, 0.17 * t, seed + 3))) if wet > 0.0 else 0.0
        return r * k, g * k, b * k, gloss, 0.0
    if material == m.TILES:
        size, seed = par[i, 0], int(par[i, 1])
        k = 1.0 + 0.09 * _grain2(s, t, fs, ft, seed)
        cs, ct = math.floor(s / size), math.floor(t / (size * par[i, 2]))
        apart = _fade(max(fs, ft / par[i, 2]), 2.0 * size)
        k += apart * 0.22 * (hash3(int(cs), int(ct), seed) - 0.5)
        joint = max(_bars(s, size, 0.035, fs), _bars(t, size * par[i, 2], 0.035, ft))
        k *= 1.0 - 0.45 * joint
        k += 0.2 * (noise2(0.5 * s, 0.3 * t, seed + 2) - 0.5)
        k *= 1.0 - 0.3 * wet
        return r * k, g * k, b * k, 0.35 * wet, 0.0
    if material == m.FACADE:
        seed = int(par[i, 4])
        wall, glass, bright, trim, tint = _facade(s, t, fs, ft, par, i)
        k = wall * (1.0 + 0.07 * _grain2(s, t, fs, ft, seed) + 0.16 * (noise2(0.13 * s, 0.25 * t, seed) - 0.5))
        k *= 1.0 - 0.25 * _clamp(1.0 - t / 0.9)
        if hash3(seed, 1, 1) < 0.3:  # bricks
            row = math.floor(t / 0.12)
            joint = max(_bars(t, 0.12, 0.025, ft), _bars(s + 0.15 * (row % 2), 0.3, 0.025, fs))
            k *= 1.0 + 0.35 * joint + 0.2 * _fade(fs, 0.3) * (hash3(int(math.floor(s / 0.3)), int(row), seed) - 0.5)
        r, g, b = r * k, g * k, b * k
        light = 0.25 + 0.5 * hash3(seed, 5, 5)
        r += trim * (light - r)
        g += trim * (light * 0.98 - g)
        b += trim * (light * 0.94 - b)
        if tint > 0.0:
            cell = int(math.floor(s / (2.0 * par[i, 1])))
            r += tint * (0.5 * hash3(cell, 1, seed) - r)
            g += tint * (0.4 * hash3(cell, 2, seed) - g)
            b += tint * (0.45 * hash3(cell, 3, seed) - b)
        r += glass * (bright - r)
        g += glass * (bright * 1.02 - g)
        b += glass * (bright * 1.06 - b)
        return r, g, b, glass * 0.75, 0.0
    if material == m.BRICK:
        seed = int(par[i, 0])
        length, height = par[i, 1], par[i, 2]
        row = math.floor(t / height)
        shift = 0.5 * length * (row % 2)
        joint = max(_bars(t, height, 0.02 + 0.06 * height, ft), _bars(s + shift, length, 0.02 + 0.04 * length, fs))
        k = 1.0 + 0.14 * _grain2(s, t, fs, ft, seed) - 0.3 * joint
        k += (
            _fade(max(fs / length, ft / height), 1.0)
            * 0.35
            * (hash3(int(math.floor((s + shift) / length)), int(row), seed) - 0.5)
        )
        k += 0.3 * (noise2(0.3 * s, 0.6 * t, seed + 3) - 0.5)
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.ROOF:
        k = (
            1.0
            + 0.12 * _grain2(s, t, fs, ft, int(par[i, 0]))
            - 0.35 * _bars(t, 0.3, 0.08, ft)
            - 0.12 * _bars(s, 0.25, 0.06, fs)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.FOLIAGE:
        seed = int(par[i, 2])
        k = 1.0 / max(par[i, 0], 1.5 * fp)
        n = noise3(px * k, py * k, pz * k, seed)
        low = noise3(0.6 * px, 0.6 * py, 0.6 * pz, seed + 2) - 0.5
        v = (1.45 - 1.5 * n + 0.35 * low) * (1.0 + 0.3 * _grain3(px, py, pz, fp, seed + 3))
        v = max(v, 0.2)  # between the leaves lies the crown's dark inside
        warm = 0.22 * low
        return r * v * (1.0 + warm), g * v, b * v * (1.0 - warm), 0.0, 0.0
    if material == m.GRASS:
        seed = int(par[i, 0])
        k = 1.0 + 0.3 * _grain2(s, t, fs, ft, seed) + 0.5 * (noise2(0.6 * s, 0.3 * t, seed + 2) - 0.5)
        dry = par[i, 1] * _step(0.45, 0.75, noise2(0.3 * s, 0.16 * t, seed + 4))
        return r * k * (1.0 + 0.5 * dry), g * k * (1.0 - 0.1 * dry), b * k * (1.0 + 0.2 * dry), 0.0, 0.0
    if material == m.FENCE:
        k = 1.0 + 0.14 * _grain2(s, t, fs, ft, 31) - 0.35 * (1.0 - _bars(s, par[i, 0], par[i, 1] * par[i, 0], fs))
        k *= 1.0 + 0.25 * _fade(fs, 2.0 * par[i, 0]) * (hash3(int(math.floor(s / par[i, 0])), 5, 5) - 0.5)
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.PAINT:
        k = 1.0 + 0.035 * _grain3(px, py, pz, fp, 7)
        return r * k, g * k, b * k, 0.55, 0.0
    if material == m.GLASS:
        k = 0.7 + 0.5 * noise3(2.2 * px, 2.2 * py, 2.2 * pz, 3)
        return r * k, g * k, b * k, 1.0, 0.0
    if material == m.WHEEL:
        d = s * s + t * t
        if d > 0.45:
            k = 0.013 + 0.008 * _grain2(s, t, fs, ft, 3)
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
            + 0.3 * (noise3(9.0 * px, 5.0 * py, 9.0 * pz, 13) - 0.5) * _fade(fp, 0.12)
            + 0.1 * _grain3(px, py, pz, fp, 17)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.MARKING:
        worn = (
            _step(0.25, 0.6, noise2(3.0 * s, 1.1 * t, 41) * 0.6 + 0.4 * noise2(11.0 * s, 5.0 * t, 42))
            if fs < 0.2
            else 0.8
        )
        k = (0.55 + 0.45 * worn) * (1.0 + 0.07 * _grain2(s, t, fs, ft, 43))
        return r * k, g * k, b * k, 0.4 * wet, 0.0
    if material == m.METAL:
        k = 1.0 + 0.1 * _grain3(px, py, pz, fp, 23)
        return r * k, g * k, b * k, 0.35, 0.0
    if material == m.BARK:
        k = (
            1.0
            + 0.5 * (noise3(14.0 * px, 3.0 * py, 14.0 * pz, 29) - 0.5) * _fade(fp, 0.1)
            + 0.16 * _grain3(px, py, pz, fp, 30)
        )
        return r * k, g * k, b * k, 0.0, 0.0
    if material == m.STRIPES:
        k = 1.0 - 4.0 * par[i, 1] * _bars(s, par[i, 0], 0.07 * par[i, 0] + 0.01, fs) + 0.07 * _grain2(s, t, fs, ft, 37)
        return r * k, g * k, b * k, 0.08, 0.0
    if material == m.CONCRETE:
        k = 1.0 + 0.12 * _grain3(px, py, pz, fp, 19) + 0.25 * (noise3(0.6 * px, 0.9 * py, 0.6 * pz, 20) - 0.5)
        return r * k, g * k, b * k, 0.1 * wet, 0.0
    k = 1.0 + 0.06 * _grain3(px, py, pz, fp, 5)
    return r * k, g * k, b * k, 0.0, 0.0


@njit(cache=True, fastmath=True, error_model="numpy", forceinline=True)
def _radiance(
    x: float, y: float, primitive: int, f: float, u0: float, v0: float, position: Floats, to_world: Floats,
    inverse: Floats, st: Floats, normals: Floats, centre: Floats, to_unit: Floats,
    material: Ints, colour: Floats, par: Floats, light: Floats,
    basis: Floats, origin: Floats, texel: float, shadow: NDArray[np.float32],
) -> RGB:  # fmt: skip
    """Light that reaches the camera at pixel (x, y) from a primitive, or from the sky where it is -1."""
    rx = (x - u0) / f
    ry = (y - v0) / f
    dx = to_world[0, 0] * rx + to_world[0, 1] * ry + to_world[0, 2]
    dy = to_world[1, 0] * rx + to_world[1, 1] * ry + to_world[1, 2]
    dz = to_world[2, 0] * rx + to_world[2, 1] * ry + to_world[2, 2]
    long = math.sqrt(dx * dx + dy * dy + dz * dz)
    if primitive < 0:
        return sky(dx / long, dy / long, dz / long, light, True)
    count = inverse.shape[0]
    s, t, fs, ft = 0.0, 0.0, 0.0, 0.0
    if primitive < count:
        j = primitive
        b0 = inverse[j, 0, 0] * rx + inverse[j, 0, 1] * ry + inverse[j, 0, 2]
        b1 = inverse[j, 1, 0] * rx + inverse[j, 1, 1] * ry + inverse[j, 1, 2]
        b2 = inverse[j, 2, 0] * rx + inverse[j, 2, 1] * ry + inverse[j, 2, 2]
        iz = max(b0 + b1 + b2, 1e-4)
        z = 1.0 / iz
        s = (b0 * st[j, 0, 0] + b1 * st[j, 1, 0] + b2 * st[j, 2, 0]) * z
        t = (b0 * st[j, 0, 1] + b1 * st[j, 1, 1] + b2 * st[j, 2, 1]) * z
        # Derivatives of s = S / iz, where S and iz are linear in the pixel, along both image axes.
        k = z / f
        izx = inverse[j, 0, 0] + inverse[j, 1, 0] + inverse[j, 2, 0]
        izy = inverse[j, 0, 1] + inverse[j, 1, 1] + inverse[j, 2, 1]
        sx = inverse[j, 0, 0] * st[j, 0, 0] + inverse[j, 1, 0] * st[j, 1, 0] + inverse[j, 2, 0] * st[j, 2, 0] - s * izx
        sy = inverse[j, 0, 1] * st[j, 0, 0] + inverse[j, 1, 1] * st[j, 1, 0] + inverse[j, 2, 1] * st[j, 2, 0] - s * izy
        tx = inverse[j, 0, 0] * st[j, 0, 1] + inverse[j, 1, 0] * st[j, 1, 1] + inverse[j, 2, 0] * st[j, 2, 1] - t * izx
        ty = inverse[j, 0, 1] * st[j, 0, 1] + inverse[j, 1, 1] * st[j, 1, 1] + inverse[j, 2, 1] * st[j, 2, 1] - t * izy
        fs = k * (abs(sx) + abs(sy)) + 1e-6
        ft = k * (abs(tx) + abs(ty)) + 1e-6
        nx = b0 * normals[j, 0, 0] + b1 * normals[j, 1, 0] + b2 * normals[j, 2, 0]
        ny = b0 * normals[j, 0, 1] + b1 * normals[j, 1, 1] + b2 * normals[j, 2, 1]
        nz = b0 * normals[j, 0, 2] + b1 * normals[j, 1, 2] + b2 * normals[j, 2, 2]
    else:
        e = primitive - count
        g0 = to_unit[e, 0, 0] * rx + to_unit[e, 0, 1] * ry + to_unit[e, 0, 2]
        g1 = to_unit[e, 1, 0] * rx + to_unit[e, 1, 1] * ry + to_unit[e, 1, 2]
        g2 = to_unit[e, 2, 0] * rx + to_unit[e, 2, 1] * ry + to_unit[e, 2, 2]
        d0 = -(to_unit[e, 0, 0] * centre[e, 0] + to_unit[e, 0, 1] * centre[e, 1] + to_unit[e, 0, 2] * centre[e, 2])
        d1 = -(to_unit[e, 1, 0] * centre[e, 0] + to_unit[e, 1, 1] * centre[e, 1] + to_unit[e, 1, 2] * centre[e, 2])
        d2 = -(to_unit[e, 2, 0] * centre[e, 0] + to_unit[e, 2, 1] * centre[e, 1] + to_unit[e, 2, 2] * centre[e, 2])
        qa = g0 * g0 + g1 * g1 + g2 * g2
        qb = g0 * d0 + g1 * d1 + g2 * d2
        root = math.sqrt(max(qb * qb - qa * (d0 * d0 + d1 * d1 + d2 * d2 - 1.0), 0.0))
        z = (-qb - root) / qa
        a0, a1, a2 = g0 * z + d0, g1 * z + d1, g2 * z + d2
        cx = to_unit[e, 0, 0] * a0 + to_unit[e, 1, 0] * a1 + to_unit[e, 2, 0] * a2
        cy = to_unit[e, 0, 1] * a0 + to_unit[e, 1, 1] * a1 + to_unit[e, 2, 1] * a2
        cz = to_unit[e, 0, 2] * a0 + to_unit[e, 1, 2] * a1 + to_unit[e, 2, 2] * a2
        nx = to_world[0, 0] * cx + to_world[0, 1] * cy + to_world[0, 2] * cz
        ny = to_world[1, 0] * cx + to_world[1, 1] * cy + to_world[1, 2] * cz
        nz = to_world[2, 0] * cx + to_world[2, 1] * cy + to_world[2, 2] * cz
        fs = ft = z / f
    px = dx * z + position[0]
    py = dy * z + position[1]
    pz = dz * z + position[2]
    k = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    facing = (nx * dx + ny * dy + nz * dz) * k / long
    if facing > 0.0:
        k = -k
        facing = -facing
    nx, ny, nz = nx * k, ny * k, nz * k
    mat = material[primitive]
    r, g, b, gloss, glow = _surface(mat, s, t, fs, ft, px, py, pz, z / f, colour, par, primitive, light[WET])
    towards = nx * light[SUN_DIRECTION] + ny * light[SUN_DIRECTION + 1] + nz * light[SUN_DIRECTION + 2]
    if mat == m.FOLIAGE:
        towards = 0.35 + 0.65 * towards  # leaves let light through
    sun = 0.0
    if towards > 0.0:
        sun = towards * _sunlit(px + 0.1 * nx, py + 0.1 * ny, pz + 0.1 * nz, light, basis, origin, texel, shadow)
    up = 0.5 + 0.5 * ny
    if mat != m.FOLIAGE:
        up *= 0.8 + 0.2 * _clamp(py / 1.2 + (1.0 if ny > 0.7 else 0.0))
    r *= sun * light[SUN] + light[BOUNCE] + up * (light[ZENITH] + light[HORIZON]) * 0.5
    g *= sun * light[SUN + 1] + light[BOUNCE + 1] + up * (light[ZENITH + 1] + light[HORIZON + 1]) * 0.5
    b *= sun * light[SUN + 2] + light[BOUNCE + 2] + up * (light[ZENITH + 2] + light[HORIZON + 2]) * 0.5
    if gloss > 0.0:
        mx = dx / long - 2.0 * facing * nx
        my = dy / long - 2.0 * facing * ny
        mz = dz / long - 2.0 * facing * nz
        fresnel = gloss * (0.05 + 0.95 * (1.0 + facing) ** 5)
        if my > 0.0:
            # What stands around hides the sky near the horizon.
            er, eg, eb = sky(mx, my, mz, light, False)
            k = 0.25 + 0.75 * _step(0.05, 0.35, my + 0.08 * (noise2(3.0 * mx, 3.0 * mz, 77) - 0.5))
            er, eg, eb = er * k, eg * k, eb * k
        else:
            er = eg = eb = 0.12 * (light[HORIZON] + light[BOUNCE])
        r += fresnel * (er - r)
        g += fresnel * (eg - g)
        b += fresnel * (eb - b)
        spark = mx * light[SUN_DIRECTION] + my * light[SUN_DIRECTION + 1] + mz * light[SUN_DIRECTION + 2]
        if spark > 0.9 and sun > 0.0:
            k = 0.8 * gloss * ((spark - 0.9) * 10.0) ** 6
            r += k * light[SUN]
            g += k * light[SUN + 1]
            b += k * light[SUN + 2]
    if mat == m.LAMP:
        r += glow * colour[primitive, 0]
        g += glow * colour[primitive, 1]
        b += glow * colour[primitive, 2]
    clear = math.exp(-light[HAZE] * z)
    r = light[HORIZON] * 0.9 + clear * (r - light[HORIZON] * 0.9)
    g = light[HORIZON + 1] * 0.9 + clear * (g - light[HORIZON + 1] * 0.9)
    b = light[HORIZON + 2] * 0.9 + clear * (b - light[HORIZON + 2] * 0.9)
    return r, g, b


@njit(cache=True, fastmath=True, error_model="numpy")
def shade(
    ids: Ints, f: float, u0: float, v0: float, position: Floats, to_world: Floats,
    inverse: Floats, st: Floats, normals: Floats, centre: Floats, to_unit: Floats,
    material: Ints, colour: Floats, par: Floats, light: Floats,
    basis: Floats, origin: Floats, texel: float, shadow: NDArray[np.float32], image: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill `image` (H, W, 3) with linear light.

    `ids` (2 H, 2 W) says which primitive each of a pixel's four samples sees, -1 for the sky. A pixel whose samples
    all see one flat surface is shaded once, at its centre; the others are shaded per primitive seen.
    """
    triangles = inverse.shape[0]
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            a, b = ids[2 * y, 2 * x], ids[2 * y, 2 * x + 1]
            c, d = ids[2 * y + 1, 2 * x], ids[2 * y + 1, 2 * x + 1]
            # The two halves of a quadrilateral carry one texture.
            if a < triangles and b < triangles and c < triangles and d < triangles:
                a, b, c, d = (
                    a | 1 if a >= 0 else a,
                    b | 1 if b >= 0 else b,
                    c | 1 if c >= 0 else c,
                    d | 1 if d >= 0 else d,
                )
            if a == b and b == c and c == d:
                r, g, bl = _radiance(
                    x, y, ids[2 * y, 2 * x], f, u0, v0, position, to_world, inverse, st, normals, centre, to_unit,
                    material, colour, par, light, basis, origin, texel, shadow,
                )  # fmt: skip
            else:
                r, g, bl = 0.0, 0.0, 0.0
                done = 0
                for k in range(4):
                    if done & (1 << k):
                        continue
                    primitive = ids[2 * y + k // 2, 2 * x + k % 2]
                    n, sx, sy = 0, 0.0, 0.0
                    for j in range(k, 4):
                        if ids[2 * y + j // 2, 2 * x + j % 2] == primitive:
                            done |= 1 << j
                            n += 1
                            sx += 0.5 * (j % 2) - 0.25
                            sy += 0.5 * (j // 2) - 0.25
                    er, eg, eb = _radiance(
                        x + sx / n, y + sy / n, primitive, f, u0, v0, position, to_world, inverse, st, normals,
                        centre, to_unit, material, colour, par, light, basis, origin, texel, shadow,
                    )  # fmt: skip
                    r += 0.25 * n * er
                    g += 0.25 * n * eg
                    bl += 0.25 * n * eb
            image[y, x, 0] = r
            image[y, x, 1] = g
            image[y, x, 2] = bl


@njit(cache=True, fastmath=True, error_model="numpy")
def develop(
    image: NDArray[np.float32], gain: Floats, curve: Floats, noise: float, seed: int, out: NDArray[np.uint8]
) -> None:
    """Turn linear light (H, W, 3) into 8-bit pixels.

    `gain` is per channel, `curve` the response to light in steps of 1/1024. The sensor's noise has a standard
    deviation of `noise` grey levels and is drawn anew for each `seed`.
    """
    top = curve.shape[0] - 1
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(3):
                v = max(image[y, x, c] * gain[c], 0.0)
                u = hash3(x, y, seed + c) + hash3(x, y, seed + 3 + c) + hash3(x, y, seed + 6 + c) - 1.5
                level = curve[min(int(v * 1024.0), top)] + noise * 2.0 * u
                out[y, x, c] = int(min(max(level + 0.5, 0.0), 255.0))
