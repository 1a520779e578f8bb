# ruff: noqa: RUF046 - compiled code: types are explicit
"""House fronts: walls of brick, plaster, stone and panels, windows, shop fronts with signs."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic.noise import bars, clamp, fade, grain2, hash3, noise2, pulse, smoothstep

Floats = NDArray[np.float64]

# What the ground floor is, and what the wall is made of: parameter 5 of a facade is `ground + 10 * finish`.
PLAIN, SHOPS, DOORS, OFFICE = 0, 1, 2, 3
PLASTER, BRICKS, BLOCKS, PANELS = 0, 1, 2, 3


@njit(cache=True, fastmath=True, error_model="numpy")
def _wall(s: float, t: float, fs: float, ft: float, finish: int, seed: int) -> float:
    """Brightness of the bare wall about 1."""
    k = 1.0 + 0.05 * grain2(s, t, fs, ft, seed)
    if finish == BRICKS:
        row = math.floor(t / 0.075)
        shift = 0.1125 * (row % 2)
        joint = max(bars(t, 0.075, 0.012, ft), bars(s + shift, 0.225, 0.012, fs))
        near = fade(max(fs / 3.0, ft), 0.075)
        k *= 1.0 + 0.3 * joint * near
        k *= 1.0 + 0.5 * near * (hash3(int(math.floor((s + shift) / 0.225)), int(row), seed) - 0.5)
        # Courses of darker brick, which are seen from farther.
        k *= 1.0 + 0.22 * (noise2(0.9 * s, 3.0 * t, seed + 1) - 0.5)
    elif finish == BLOCKS:
        row = math.floor(t / 0.4)
        shift = 0.4 * (row % 2)
        k *= 1.0 - 0.3 * max(bars(t, 0.4, 0.025, ft), bars(s + shift, 0.8, 0.02, fs))
        k *= 1.0 + 0.2 * fade(fs, 0.8) * (hash3(int(math.floor((s + shift) / 0.8)), int(row), seed) - 0.5)
    elif finish == PANELS:
        k *= 1.0 - 0.4 * max(bars(t, 1.2, 0.03, ft), bars(s, 1.5, 0.03, fs))
    # Rain leaves streaks, the street leaves dirt at the foot.
    k *= 1.0 + 0.3 * (noise2(1.1 * s, 0.14 * t, seed + 2) - 0.5) + 0.25 * (noise2(0.17 * s, 0.21 * t, seed + 3) - 0.5)
    return k * (1.0 - 0.3 * clamp(1.0 - t / (0.4 + 0.8 * noise2(0.7 * s, 0.0, seed + 4))))


@njit(cache=True, fastmath=True, error_model="numpy")
def _shop(
    s: float, t: float, fs: float, ft: float, storey: float, spacing: float, seed: int
) -> tuple[float, float, float, float]:
    """A shop front on the ground floor: colour and share of mirrored light."""
    front = int(math.floor(s / (2.0 * spacing)))
    x = s - 2.0 * spacing * front
    wide = 2.0 * spacing
    paint = 0.012 + 0.3 * hash3(front, 11, seed) ** 3
    tr = paint * (0.7 + 0.6 * hash3(front, 12, seed))
    tg = paint * (0.7 + 0.5 * hash3(front, 13, seed))
    tb = paint * (0.6 + 0.6 * hash3(front, 14, seed))
    low, top, fascia = 0.14 * storey, 0.74 * storey, 0.93 * storey
    if t > top:
        # The fascia: a coloured band with letters.
        board = pulse(t, top + 0.05, fascia, ft) * pulse(x, 0.1, wide - 0.1, fs)
        light = 0.03 + 0.75 * hash3(front, 15, seed) ** 2
        r, g, b = (
            light * (0.6 + 0.6 * hash3(front, 16, seed)),
            light * (0.6 + 0.5 * hash3(front, 17, seed)),
            0.85 * light,
        )
        letter = math.floor(x / 0.28)
        written = x > 0.3 * wide and x < (0.6 + 0.3 * hash3(front, 18, seed)) * wide
        tall = pulse(t, top + 0.14 * storey * 0.4, fascia - 0.13 * storey * 0.4, ft)
        if written and hash3(int(letter), front, seed) > 0.12:
            stroke = bars(x + 0.07 * math.floor((t - top) / 0.09), 0.14 + 0.05 * hash3(int(letter), 3, seed), 0.07, fs)
            ink = 0.85 if light < 0.3 else 0.03
            r += tall * stroke * (ink - r)
            g += tall * stroke * (ink - g)
            b += tall * stroke * (ink - b)
        return (
            0.6 * tr + board * (r - 0.6 * tr),
            0.6 * tg + board * (g - 0.6 * tg),
            0.6 * tb + board * (b - 0.6 * tb),
            0.05,
        )
    door = hash3(front, 19, seed) * 0.75 * wide
    entry = pulse(x, door, door + 1.0, fs)
    panes = 1.0 + math.floor(2.5 * hash3(front, 20, seed))
    bar = bars(x, wide / (panes + 1.0), 0.09, fs)
    glass = (1.0 - bar) * pulse(x, 0.16, wide - 0.16, fs) * max(pulse(t, low, top, ft), entry * pulse(t, 0.02, top, ft))
    # Behind the pane: dark, with goods, lamps and posters.
    inside = 0.012 + 0.05 * noise2(1.6 * s, 1.9 * t, seed + 21)
    shelf = hash3(int(math.floor(s / 0.55)), int(math.floor(t / 0.42)), seed + 22)
    near = fade(max(fs, ft), 0.6)
    if shelf > 0.7 and t < 0.6 * storey:
        inside += 0.3 * (shelf - 0.7) * (0.3 + near)
    ir, ig, ib = inside, inside * 0.95, inside * 0.85
    if hash3(front, 23, seed) < 0.4:  # lit
        lamp = 0.22 * pulse(t, 0.5 * storey, 0.72 * storey, ft) * noise2(1.9 * s, 5.0 * t, seed + 24)
        ir, ig, ib = ir + lamp * 1.2, ig + lamp, ib + lamp * 0.6
    px = math.floor(s / 0.9)
    if hash3(int(px), 25, seed) < 0.22 and entry < 0.5:  # a poster
        u = s - 0.9 * px
        sheet = pulse(u, 0.15, 0.75, fs) * pulse(t, 0.9, 1.8, ft)
        pale = 0.15 + 0.6 * hash3(int(px), 26, seed)
        line = 1.0 - 0.6 * near * pulse(hash3(int(math.floor(t / 0.11)), int(px), seed), 0.0, 0.5, 0.01)
        ir += sheet * (pale * line - ir)
        ig += sheet * (pale * line * (0.3 + 0.8 * hash3(int(px), 27, seed)) - ig)
        ib += sheet * (pale * line * (0.3 + 0.8 * hash3(int(px), 28, seed)) - ib)
    return tr + glass * (ir - tr), tg + glass * (ig - tg), tb + glass * (ib - tb), 0.8 * glass


@njit(cache=True, fastmath=True, error_model="numpy")
def facade(
    s: float, t: float, fs: float, ft: float, r: float, g: float, b: float, par: Floats
) -> tuple[float, float, float, float]:
    """Albedo and share of mirrored light of a house front at `s` along and `t` up, whose wall is (r, g, b).

    `par` holds height of a storey, distance of the windows, their width and height as shares of these, seed, and
    `ground + 10 * finish`.
    """
    storey, spacing, seed = par[0], par[1], int(par[4])
    finish = int(par[5]) // 10
    ground = int(par[5]) % 10
    row = math.floor(t / storey)
    column = math.floor(s / spacing)
    y = t - row * storey
    x = s - column * spacing
    i, j = int(row), int(column)
    if ground == SHOPS and row == 0 and t > 0.0:
        return _shop(s, y, fs, ft, storey, spacing, seed)
    k = _wall(s, t, fs, ft, finish, seed)
    r, g, b = r * k, g * k, b * k
    # Above the distance where windows can be told apart, their mean stands for them.
    blur = smoothstep(0.3, 0.6, max(fs / spacing, ft / storey))
    w, h, low = par[2] * spacing, par[3] * storey, 0.28 * storey
    if ground == OFFICE:
        w, h, low = 0.94 * spacing, 0.62 * storey, 0.25 * storey
    elif row > 2 and hash3(seed, 6, 6) < 0.4:
        h *= 0.8  # upper storeys have lower windows
    x0 = 0.5 * (spacing - w)
    is_door = row == 0 and ground == DOORS and hash3(j, 3, seed) < 0.35
    if is_door:
        w = min(1.2, 0.6 * spacing)
        x0, low, h = 0.5 * (spacing - w), 0.0, 0.72 * storey
    edge = 0.04 + 0.1 * hash3(1, 2, seed)
    frame = pulse(x, x0 - edge, x0 + w + edge, fs) * pulse(y, low - edge, low + h + edge, ft)
    glass = pulse(x, x0, x0 + w, fs) * pulse(y, low, low + h, ft)
    # Sash bars: one cross, or many panes.
    many = 2.0 + math.floor(2.5 * hash3(seed, 7, 7))
    cross = bars(x - x0, w / many, 0.05, fs)
    cross = max(cross, bars(y - low, h / (1.0 + math.floor(3.0 * hash3(seed, 8, 8))), 0.05, ft))
    seen = glass * (1.0 - 0.8 * cross)
    if is_door:
        seen *= 0.25
    dark = 0.008 + 0.035 * hash3(j, i, seed + 9)
    tinted = 0.05 * hash3(seed, 16, 5) if ground == OFFICE else 0.0  # the blue glass of offices
    br, bg, bb = dark + 0.3 * tinted, dark + 0.7 * tinted, dark + tinted
    veil = hash3(j, i, seed)
    if veil > 0.55:  # curtains and blinds
        drop = low + h * (1.0 - hash3(i, j, seed + 4))
        cloth = (0.08 + 0.3 * hash3(i, j, seed + 10)) * (0.7 + 0.3 * bars(s, 0.16, 0.08, fs))
        cloth *= pulse(y, drop, low + h + 1.0, ft)
        br, bg, bb = br + cloth, bg + 0.95 * cloth, bb + 0.85 * cloth
    elif veil < 0.05:  # a lamp is on
        br, bg, bb = br + 0.35, bg + 0.26, bb + 0.14
    # The reveal throws a shadow on the pane's top.
    reveal = 1.0 - 0.6 * pulse(y, low + 0.86 * h, low + h, ft)
    br, bg, bb = br * reveal, bg * reveal, bb * reveal
    light = 0.55 + 0.25 * hash3(seed, 5, 5) if hash3(seed, 12, 5) < 0.65 else 0.03 + 0.1 * hash3(seed, 5, 5)
    sill = pulse(y, low - edge - 0.12, low - edge, ft) * pulse(x, x0 - edge - 0.1, x0 + w + edge + 0.1, fs)
    under = pulse(y, low - edge - 0.4, low - edge - 0.12, ft) * pulse(x, x0 - edge, x0 + w + edge, fs)
    lintel = pulse(y, low + h + edge, low + h + edge + 0.22, ft) * pulse(x, x0 - 0.1, x0 + w + 0.1, fs)
    band = pulse(y, 0.0, 0.18, ft) if row > 0 and hash3(seed, 13, 5) < 0.4 else 0.0
    r, g, b = r * (1.0 - 0.22 * under), g * (1.0 - 0.22 * under), b * (1.0 - 0.22 * under)
    pale = 0.25 + 0.3 * hash3(seed, 14, 5)
    trim = max(band, max(sill, lintel if hash3(seed, 15, 5) < 0.5 else 0.0))
    r, g, b = r + trim * (pale - r), g + trim * (0.97 * pale - g), b + trim * (0.9 * pale - b)
    part = clamp(frame - seen)
    if is_door:
        light *= 0.3
    r, g, b = r + part * (light - r), g + part * (0.98 * light - g), b + part * (0.95 * light - b)
    mean = 0.75 * par[2] * par[3]
    seen += blur * (mean - seen)
    r, g, b = r + seen * (br - r), g + seen * (bg - g), b + seen * (bb - b)
    return r, g, b, 0.8 * seen
