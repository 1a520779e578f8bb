# ruff: noqa: RUF046 - compiled code: types are explicit, and comparisons are faster than tuples
"""Light: sun and sky, shadows, the sky that a place sees, reflections and haze. Colours are linear light."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.noise import clamp, noise2, smoothstep
from multisigma.synthetic.textures import surface

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
RGB = tuple[float, float, float]

# Places in the array that describes light and weather.
SUN_DIRECTION, SUN, ZENITH, HORIZON, BOUNCE = 0, 3, 6, 9, 12
HAZE, WET, CLOUDS, SEED, SHADE_BLUR, SKY_GAIN = 15, 16, 17, 18, 19, 20
LIGHT_SIZE = 21

#: The maps of what hides the sky: pixels per side, and metres per pixel. They begin at x = -SIZE / 2 pixels, z = 0.
OPENNESS_SIZE, OPENNESS_TEXEL = 400, 0.2


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
        cover = smoothstep(0.72 - 0.5 * light[CLOUDS], 0.98 - 0.5 * light[CLOUDS], n)
        lit = 0.75 + 0.5 * (n - 0.5)
        bright = 1.15 * lit * (light[HORIZON] + light[HORIZON + 1] + light[HORIZON + 2]) / 3.0 + 0.1 * light[SUN]
        r += cover * (bright - r)
        g += cover * (bright - g)
        b += cover * (bright * 1.02 - b)
    return r, g, b


@njit(cache=True, fastmath=True, error_model="numpy")
def sunlit(
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
def _openness(px: float, py: float, pz: float, openness: NDArray[np.float32]) -> float:
    """Share of the sky's light that reaches a point, by what stands around it: (2, N, N), low things and houses."""
    x = px / OPENNESS_TEXEL + 0.5 * OPENNESS_SIZE
    y = pz / OPENNESS_TEXEL
    x = min(max(x, 0.0), OPENNESS_SIZE - 1.001)
    y = min(max(y, 0.0), OPENNESS_SIZE - 1.001)
    i, j = int(x), int(y)
    u, v = x - i, y - j
    low = (1.0 - v) * ((1.0 - u) * openness[0, j, i] + u * openness[0, j, i + 1])
    low += v * ((1.0 - u) * openness[0, j + 1, i] + u * openness[0, j + 1, i + 1])
    above = max(py - 0.15, 0.0)
    low *= math.exp(-2.2 * above)
    tall = openness[1, j, i] * clamp(1.0 - above / 14.0)
    return (1.0 - 0.85 * low) * (1.0 - 0.55 * tall)


@njit(cache=True, fastmath=True, error_model="numpy", forceinline=True)
def _radiance(
    x: float, y: float, primitive: int, f: float, u0: float, v0: float, position: Floats, to_world: Floats,
    inverse: Floats, st: Floats, normals: Floats, centre: Floats, to_unit: Floats,
    material: Ints, colour: Floats, par: Floats, light: Floats,
    basis: Floats, origin: Floats, texel: float, shadow: NDArray[np.float32], openness: NDArray[np.float32],
) -> RGB:  # fmt: skip
    """Light that reaches the camera at pixel (x, y) from a primitive, or from the sky where it is -1."""
    rx = (x - u0) / f
    ry = (y - v0) / f
    dx = to_world[0, 0] * rx + to_world[0, 1] * ry + to_world[0, 2]
    dy = to_world[1, 0] * rx + to_world[1, 1] * ry + to_world[1, 2]
    dz = to_world[2, 0] * rx + to_world[2, 1] * ry + to_world[2, 2]
    long = math.sqrt(dx * dx + dy * dy + dz * dz)
    if primitive < 0:
        r, g, b = sky(dx / long, dy / long, dz / long, light, True)
        return r * light[SKY_GAIN], g * light[SKY_GAIN], b * light[SKY_GAIN]
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
    r, g, b, gloss, glow = surface(mat, s, t, fs, ft, px, py, pz, z / f, colour, par, primitive, light[WET])
    towards = nx * light[SUN_DIRECTION] + ny * light[SUN_DIRECTION + 1] + nz * light[SUN_DIRECTION + 2]
    if mat == m.FOLIAGE:
        towards = 0.35 + 0.65 * towards  # leaves let light through
    sun = 0.0
    if towards > 0.0:
        sun = towards * sunlit(px + 0.1 * nx, py + 0.1 * ny, pz + 0.1 * nz, light, basis, origin, texel, shadow)
    seen = _openness(px + 0.25 * nx, py, pz + 0.25 * nz, openness)
    up = (0.5 + 0.5 * ny) * seen
    r *= sun * light[SUN] + seen * light[BOUNCE] + up * (light[ZENITH] + light[HORIZON]) * 0.5
    g *= sun * light[SUN + 1] + seen * light[BOUNCE + 1] + up * (light[ZENITH + 1] + light[HORIZON + 1]) * 0.5
    b *= sun * light[SUN + 2] + seen * light[BOUNCE + 2] + up * (light[ZENITH + 2] + light[HORIZON + 2]) * 0.5
    if gloss > 0.0:
        mx = dx / long - 2.0 * facing * nx
        my = dy / long - 2.0 * facing * ny
        mz = dz / long - 2.0 * facing * nz
        fresnel = gloss * (0.05 + 0.95 * (1.0 + facing) ** 5)
        if my > 0.0:
            # What stands around hides the sky near the horizon.
            er, eg, eb = sky(mx, my, mz, light, False)
            k = 0.12 + 0.88 * smoothstep(
                0.05, 0.6 if mat == m.FACADE else 0.35, my + 0.08 * (noise2(3.0 * mx, 3.0 * mz, 77) - 0.5)
            )
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
    basis: Floats, origin: Floats, texel: float, shadow: NDArray[np.float32],
    openness: NDArray[np.float32], image: NDArray[np.float32],
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
                # Floats, as below: integers would compile it twice.
                r, g, bl = _radiance(
                    float(x), float(y), ids[2 * y, 2 * x], f, u0, v0, position, to_world, inverse, st, normals,
                    centre, to_unit, material, colour, par, light, basis, origin, texel, shadow, openness,
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
                        centre, to_unit, material, colour, par, light, basis, origin, texel, shadow, openness,
                    )  # fmt: skip
                    r += 0.25 * n * er
                    g += 0.25 * n * eg
                    bl += 0.25 * n * eb
            image[y, x, 0] = r
            image[y, x, 1] = g
            image[y, x, 2] = bl
