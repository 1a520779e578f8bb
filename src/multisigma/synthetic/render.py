# ruff: noqa: RUF046, SIM109 - compiled code: types are explicit, and comparisons are faster than tuples
"""Visibility: a z-buffer for triangles and ellipsoids, seen by a pinhole camera or by the sun.

Camera axes are x right, y down, z forward; pixel centres lie at integers. A triangle with vertices `v0, v1, v2` in
camera axes is drawn in homogeneous form: with `r = ((x - u0) / f, (y - v0) / f, 1)` the numbers `b = [v0 v1 v2]^-1 r`
are the barycentric coordinates divided by depth, so they are linear in the pixel, all three are non-negative exactly
inside the triangle and in front of the camera, and their sum is 1/z (Olano & Greer, "Triangle scan conversion using
2D homogeneous coordinates", 1997). Nothing needs to be cut at the near plane but the box of pixels searched.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.synthetic.materials import FENCE, FOLIAGE, SIGN, SPOKES, WHEEL
from multisigma.synthetic.noise import hash3, noise3

NEAR = 0.3
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@njit(cache=True, fastmath=True, error_model="numpy")
def _covers(material: int, s: float, t: float, footprint: float, par: Floats, whole: bool) -> bool:
    """Whether a flat surface with holes is there at texture (s, t); `footprint` is a pixel's size in its units.

    A `whole` surface has an outline and no holes: annotators label fences and wheels as if these were closed.
    """
    if material == WHEEL:
        return s * s + t * t <= 1.0
    if material == SPOKES:
        r = s * s + t * t
        if r > 1.0:
            return False
        if whole or r > 0.72 or r < 0.02:
            return True
        turn = (math.atan2(t, s) + math.pi) * 9.0 / math.pi
        return turn - math.floor(turn) < 0.3
    if material == SIGN:
        shape = int(par[0])
        if shape == 0:
            return s * s + t * t <= 1.0
        if shape == 1:
            return t >= -0.8 and t <= 1.0 - 1.8 * abs(s)
        if shape == 2:
            return t <= 0.8 and t >= -1.0 + 1.8 * abs(s)
        if shape == 3:
            return abs(s) + abs(t) <= 1.35
        if shape == 4:
            return abs(s) + abs(t) <= 1.0
        return True
    if whole:
        return True
    period = par[0]
    if footprint > 0.7 * period:  # too fine for the samples: a hash keeps the share of what shows through
        return hash3(int(math.floor(s / footprint)), int(math.floor(t / footprint)), 51) < max(par[1], 0.45)
    phase = s / period
    phase -= math.floor(phase)
    if phase < par[1]:
        return True
    if t < 0.12 or t > par[2] - 0.1:
        return True
    if par[3] > 0.0:
        phase = t / period
        return phase - math.floor(phase) < par[1]
    return False


@njit(cache=True, fastmath=True, error_model="numpy")
def _leaf(x: float, y: float, z: float, footprint: float, facing: float, par: Floats, whole: bool) -> bool:
    """Whether foliage is there: leaves of size par[0], a share of par[1] covered, less towards the outline.

    With par[3] it is twigs instead. A `whole` crown has a rough outline and no holes.
    """
    if whole:
        return noise3(2.5 * x, 2.5 * y, 2.5 * z, int(par[2])) < 0.25 + 1.6 * min(facing, 0.5)
    size = max(par[0], 1.5 * footprint)
    k = 1.0 / size
    if par[3] > 0.0:
        # Lines of equal noise are as thin and as tangled.
        n = 3.0 * noise3(x * k, 0.4 * y * k, z * k, int(par[2]))
        return abs(n - math.floor(n) - 0.5) < 0.3 * par[1] * (0.5 + min(facing, 0.5))
    return noise3(x * k, y * k, z * k, int(par[2])) < par[1] * (0.6 + 0.8 * min(facing, 0.5))


@njit(cache=True, fastmath=True, error_model="numpy")
def invert(triangles: Floats, inverse: Floats) -> None:
    """Fill `inverse` (T, 3, 3) with `[v0 v1 v2]^-1` of each triangle; zeros where it is seen from its edge."""
    for i in range(triangles.shape[0]):
        a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
        bc0 = b[1] * c[2] - b[2] * c[1]
        bc1 = b[2] * c[0] - b[0] * c[2]
        bc2 = b[0] * c[1] - b[1] * c[0]
        det = a[0] * bc0 + a[1] * bc1 + a[2] * bc2
        if abs(det) < 1e-9:
            inverse[i] = 0.0
            continue
        k = 1.0 / det
        inverse[i, 0, 0] = bc0 * k
        inverse[i, 0, 1] = bc1 * k
        inverse[i, 0, 2] = bc2 * k
        inverse[i, 1, 0] = (c[1] * a[2] - c[2] * a[1]) * k
        inverse[i, 1, 1] = (c[2] * a[0] - c[0] * a[2]) * k
        inverse[i, 1, 2] = (c[0] * a[1] - c[1] * a[0]) * k
        inverse[i, 2, 0] = (a[1] * b[2] - a[2] * b[1]) * k
        inverse[i, 2, 1] = (a[2] * b[0] - a[0] * b[2]) * k
        inverse[i, 2, 2] = (a[0] * b[1] - a[1] * b[0]) * k


@njit(cache=True, fastmath=True, error_model="numpy")
def draw_triangles(
    triangles: Floats, inverse: Floats, st: Floats, material: Ints, par: Floats,
    f: float, u0: float, v0: float, whole: bool, inverse_depth: Floats, ids: Ints,
) -> None:  # fmt: skip
    """Draw triangles (T, 3, 3) in camera axes into `inverse_depth` and `ids` (H, W), which gets their indices.

    With `whole`, what can be seen through is drawn closed.
    """
    height, width = ids.shape
    for i in range(triangles.shape[0]):
        v = triangles[i]
        if v[0, 2] < NEAR and v[1, 2] < NEAR and v[2, 2] < NEAR:
            continue
        m = inverse[i]
        if m[0, 0] == 0.0 and m[0, 1] == 0.0 and m[0, 2] == 0.0:
            continue
        xlo, xhi, ylo, yhi = 1e30, -1e30, 1e30, -1e30
        for k in range(3):
            z = v[k, 2]
            if z >= NEAR:
                x = v[k, 0] / z
                y = v[k, 1] / z
                xlo, xhi, ylo, yhi = min(xlo, x), max(xhi, x), min(ylo, y), max(yhi, y)
            n = (k + 1) % 3
            if (z >= NEAR) != (v[n, 2] >= NEAR):
                w = (NEAR - z) / (v[n, 2] - z)
                x = (v[k, 0] + w * (v[n, 0] - v[k, 0])) / NEAR
                y = (v[k, 1] + w * (v[n, 1] - v[k, 1])) / NEAR
                xlo, xhi, ylo, yhi = min(xlo, x), max(xhi, x), min(ylo, y), max(yhi, y)
        if xhi * f + u0 < 0.0 or xlo * f + u0 > width - 1 or yhi * f + v0 < 0.0 or ylo * f + v0 > height - 1:
            continue
        y_first = int(math.ceil(max(ylo * f + v0, 0.0)))
        y_last = int(math.floor(min(yhi * f + v0, height - 1.0)))
        x_lowest = max(xlo * f + u0 - 1e-6, 0.0)
        x_highest = min(xhi * f + u0 + 1e-6, width - 1.0)
        mat = material[i]
        holes = mat == FENCE or mat == WHEEL or mat == SPOKES or mat == SIGN
        a0, a1, a2 = m[0, 0] / f, m[1, 0] / f, m[2, 0] / f
        slope = a0 + a1 + a2
        for y in range(y_first, y_last + 1):
            ry = (y - v0) / f
            k0 = m[0, 1] * ry + m[0, 2] - a0 * u0
            k1 = m[1, 1] * ry + m[1, 2] - a1 * u0
            k2 = m[2, 1] * ry + m[2, 2] - a2 * u0
            left, right = x_lowest, x_highest
            outside = False
            for a, k in ((a0, k0), (a1, k1), (a2, k2)):
                k += 1e-10
                if a > 1e-14:
                    left = max(left, -k / a)
                elif a < -1e-14:
                    right = min(right, -k / a)
                elif k < 0.0:
                    outside = True
            if outside or right < left:
                continue
            k = k0 + k1 + k2
            for x in range(int(math.ceil(left)), int(math.floor(right)) + 1):
                iz = slope * x + k
                if iz <= inverse_depth[y, x] or iz > 1.0 / NEAR:
                    continue
                if holes:
                    b0 = (a0 * x + k0) / iz
                    b1 = (a1 * x + k1) / iz
                    b2 = (a2 * x + k2) / iz
                    s = b0 * st[i, 0, 0] + b1 * st[i, 1, 0] + b2 * st[i, 2, 0]
                    t = b0 * st[i, 0, 1] + b1 * st[i, 1, 1] + b2 * st[i, 2, 1]
                    if not _covers(mat, s, t, 1.0 / (f * iz), par[i], whole):
                        continue
                inverse_depth[y, x] = iz
                ids[y, x] = i


@njit(cache=True, fastmath=True, error_model="numpy")
def draw_ellipsoids(
    centre: Floats, axes: Floats, to_unit: Floats, material: Ints, par: Floats, to_world: Floats, position: Floats,
    first_id: int, f: float, u0: float, v0: float, whole: bool, inverse_depth: Floats, ids: Ints,
) -> None:  # fmt: skip
    """Draw ellipsoids exactly, by the roots of each ray's quadratic.

    `centre` (E, 3) and `axes` (E, 3, 3; columns are semi-axes) are in camera axes, `to_unit` is the inverse of `axes`.
    `to_world` (3, 3) and `position` (3,) take camera axes to the world, where the holes of foliage are decided.
    With `whole`, foliage has none.
    """
    height, width = ids.shape
    # The nearest first: what they hide need not be drawn.
    for i in np.argsort(centre[:, 2]):
        c = centre[i]
        b = axes[i]
        # The image outline's dual conic is B B^T - c c^T: its tangent lines x = const and y = const bound the outline.
        rzz = b[2, 0] ** 2 + b[2, 1] ** 2 + b[2, 2] ** 2
        if c[2] + math.sqrt(rzz) < NEAR:
            continue
        x_first, x_last, y_first, y_last = 0, width - 1, 0, height - 1
        if c[2] - math.sqrt(rzz) > NEAR:
            d33 = rzz - c[2] * c[2]
            d13 = b[0, 0] * b[2, 0] + b[0, 1] * b[2, 1] + b[0, 2] * b[2, 2] - c[0] * c[2]
            d11 = b[0, 0] ** 2 + b[0, 1] ** 2 + b[0, 2] ** 2 - c[0] * c[0]
            d23 = b[1, 0] * b[2, 0] + b[1, 1] * b[2, 1] + b[1, 2] * b[2, 2] - c[1] * c[2]
            d22 = b[1, 0] ** 2 + b[1, 1] ** 2 + b[1, 2] ** 2 - c[1] * c[1]
            rx = math.sqrt(max(d13 * d13 - d33 * d11, 0.0)) / -d33
            ry = math.sqrt(max(d23 * d23 - d33 * d22, 0.0)) / -d33
            mx, my = d13 / d33, d23 / d33
            if (mx + rx) * f + u0 < 0.0 or (mx - rx) * f + u0 > width - 1:
                continue
            if (my + ry) * f + v0 < 0.0 or (my - ry) * f + v0 > height - 1:
                continue
            x_first = int(max(math.ceil((mx - rx) * f + u0), 0.0))
            x_last = int(min(math.floor((mx + rx) * f + u0), width - 1.0))
            y_first = int(max(math.ceil((my - ry) * f + v0), 0.0))
            y_last = int(min(math.floor((my + ry) * f + v0), height - 1.0))
        m = to_unit[i]
        d0 = -(m[0, 0] * c[0] + m[0, 1] * c[1] + m[0, 2] * c[2])
        d1 = -(m[1, 0] * c[0] + m[1, 1] * c[1] + m[1, 2] * c[2])
        d2 = -(m[2, 0] * c[0] + m[2, 1] * c[1] + m[2, 2] * c[2])
        constant = d0 * d0 + d1 * d1 + d2 * d2 - 1.0
        md = m[0, 0] * d0 + m[1, 0] * d1 + m[2, 0] * d2
        mm = m[0, 0] * m[0, 0] + m[1, 0] * m[1, 0] + m[2, 0] * m[2, 0]
        leaves = material[i] == FOLIAGE
        nearest = 1.0 / max(c[2] - math.sqrt(rzz), NEAR)
        for y in range(y_first, y_last + 1):
            ry = (y - v0) / f
            e0 = m[0, 1] * ry + m[0, 2]
            e1 = m[1, 1] * ry + m[1, 2]
            e2 = m[2, 1] * ry + m[2, 2]
            # Along the row the discriminant below is the quadratic `w2 rx^2 + 2 w1 rx + w0`. Where it opens downwards,
            # its roots bound what the ellipsoid covers; a pixel more on each side leaves rounding to the test itself.
            ed = e0 * d0 + e1 * d1 + e2 * d2
            w2 = md * md - constant * mm
            w1 = md * ed - constant * (m[0, 0] * e0 + m[1, 0] * e1 + m[2, 0] * e2)
            w0 = ed * ed - constant * (e0 * e0 + e1 * e1 + e2 * e2)
            left, right = x_first, x_last
            if w2 < 0.0:
                root = w1 * w1 - w2 * w0
                if root < 0.0:
                    continue
                root = math.sqrt(root)
                left = max(left, int(math.floor(max((w1 - root) / -w2 * f + u0, -1.0))) - 1)
                right = min(right, int(math.ceil(min((w1 + root) / -w2 * f + u0, width + 0.0))) + 1)
            for x in range(left, right + 1):
                if nearest <= inverse_depth[y, x]:
                    continue
                rx = (x - u0) / f
                g0 = m[0, 0] * rx + e0
                g1 = m[1, 0] * rx + e1
                g2 = m[2, 0] * rx + e2
                qa = g0 * g0 + g1 * g1 + g2 * g2
                qb = g0 * d0 + g1 * d1 + g2 * d2
                disc = qb * qb - qa * constant
                if disc < 0.0:
                    continue
                root = math.sqrt(disc)
                z = (-qb - root) / qa
                if z < NEAR or 1.0 / z <= inverse_depth[y, x]:
                    continue
                if leaves:
                    seen = False
                    facing = root / math.sqrt(qa)
                    for _ in range(2):
                        px = to_world[0, 0] * rx * z + to_world[0, 1] * ry * z + to_world[0, 2] * z + position[0]
                        py = to_world[1, 0] * rx * z + to_world[1, 1] * ry * z + to_world[1, 2] * z + position[1]
                        pz = to_world[2, 0] * rx * z + to_world[2, 1] * ry * z + to_world[2, 2] * z + position[2]
                        if _leaf(px, py, pz, z / f, facing, par[i], whole):
                            seen = True
                            break
                        z = (-qb + root) / qa
                        if 1.0 / z <= inverse_depth[y, x]:
                            break
                    if not seen:
                        continue
                inverse_depth[y, x] = 1.0 / z
                ids[y, x] = first_id + i


@njit(cache=True, fastmath=True, error_model="numpy")
def draw_shadows(
    triangles: Floats, st: Floats, material: Ints, par: Floats,
    centre: Floats, axes: Floats, to_unit: Floats, ellipsoid_material: Ints, ellipsoid_par: Floats,
    basis: Floats, origin: Floats, texel: float, shadow: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill `shadow` (N, N) with the height towards the sun of the first surface that its light meets.

    `basis` (3, 3) holds the map's two axes and the direction to the sun as rows, world axes; a world point lies at
    map coordinates `(basis[:2] @ point - origin) / texel`.
    """
    n = shadow.shape[0]
    p = np.empty((3, 3))
    for i in range(triangles.shape[0]):
        for k in range(3):
            v = triangles[i, k]
            p[k, 0] = (basis[0, 0] * v[0] + basis[0, 1] * v[1] + basis[0, 2] * v[2] - origin[0]) / texel
            p[k, 1] = (basis[1, 0] * v[0] + basis[1, 1] * v[1] + basis[1, 2] * v[2] - origin[1]) / texel
            p[k, 2] = basis[2, 0] * v[0] + basis[2, 1] * v[1] + basis[2, 2] * v[2]
        det = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (p[1, 1] - p[0, 1])
        if abs(det) < 1e-6:
            continue
        y_first = int(math.ceil(max(min(p[0, 1], p[1, 1], p[2, 1]), 0.0)))
        y_last = int(math.floor(min(max(p[0, 1], p[1, 1], p[2, 1]), n - 1.0)))
        x_lowest = max(min(p[0, 0], p[1, 0], p[2, 0]), 0.0)
        x_highest = min(max(p[0, 0], p[1, 0], p[2, 0]), n - 1.0)
        if x_highest < x_lowest:
            continue
        mat = material[i]
        holes = mat == FENCE or mat == WHEEL or mat == SPOKES or mat == SIGN
        for y in range(y_first, y_last + 1):
            left, right = x_lowest, x_highest
            for k in range(3):
                q = p[(k + 1) % 3]
                r = p[(k + 2) % 3]
                # b_k(x) = slope * x + constant is the k-th barycentric coordinate along the row.
                slope = (q[1] - r[1]) / det
                constant = (q[0] * (r[1] - y) - r[0] * (q[1] - y)) / det
                constant += 1e-7
                if slope > 1e-12:
                    left = max(left, -constant / slope)
                elif slope < -1e-12:
                    right = min(right, -constant / slope)
                elif constant < 0.0:
                    right = -1.0
            if right < left:
                continue
            for x in range(int(math.ceil(left)), int(math.floor(right)) + 1):
                b0 = ((p[1, 0] - x) * (p[2, 1] - y) - (p[2, 0] - x) * (p[1, 1] - y)) / det
                b1 = ((p[2, 0] - x) * (p[0, 1] - y) - (p[0, 0] - x) * (p[2, 1] - y)) / det
                b2 = 1.0 - b0 - b1
                h = b0 * p[0, 2] + b1 * p[1, 2] + b2 * p[2, 2]
                if h <= shadow[y, x]:
                    continue
                if holes:
                    s = b0 * st[i, 0, 0] + b1 * st[i, 1, 0] + b2 * st[i, 2, 0]
                    t = b0 * st[i, 0, 1] + b1 * st[i, 1, 1] + b2 * st[i, 2, 1]
                    if not _covers(mat, s, t, 0.0, par[i], False):
                        continue
                shadow[y, x] = h
    for i in range(centre.shape[0]):
        c = centre[i]
        cx = (basis[0, 0] * c[0] + basis[0, 1] * c[1] + basis[0, 2] * c[2] - origin[0]) / texel
        cy = (basis[1, 0] * c[0] + basis[1, 1] * c[1] + basis[1, 2] * c[2] - origin[1]) / texel
        ex, ey = 0.0, 0.0
        for k in range(3):
            ex += (basis[0, 0] * axes[i, 0, k] + basis[0, 1] * axes[i, 1, k] + basis[0, 2] * axes[i, 2, k]) ** 2
            ey += (basis[1, 0] * axes[i, 0, k] + basis[1, 1] * axes[i, 1, k] + basis[1, 2] * axes[i, 2, k]) ** 2
        ex = math.sqrt(ex) / texel
        ey = math.sqrt(ey) / texel
        if cx + ex < 0.0 or cx - ex > n - 1 or cy + ey < 0.0 or cy - ey > n - 1:
            continue
        m = to_unit[i]
        s0 = m[0, 0] * basis[2, 0] + m[0, 1] * basis[2, 1] + m[0, 2] * basis[2, 2]
        s1 = m[1, 0] * basis[2, 0] + m[1, 1] * basis[2, 1] + m[1, 2] * basis[2, 2]
        s2 = m[2, 0] * basis[2, 0] + m[2, 1] * basis[2, 1] + m[2, 2] * basis[2, 2]
        qa = s0 * s0 + s1 * s1 + s2 * s2
        top = basis[2, 0] * c[0] + basis[2, 1] * c[1] + basis[2, 2] * c[2]
        leaves = ellipsoid_material[i] == FOLIAGE
        for y in range(max(int(math.ceil(cy - ey)), 0), min(int(math.floor(cy + ey)), n - 1) + 1):
            for x in range(max(int(math.ceil(cx - ex)), 0), min(int(math.floor(cx + ex)), n - 1) + 1):
                ux = (x - cx) * texel
                uy = (y - cy) * texel
                wx = basis[0, 0] * ux + basis[1, 0] * uy
                wy = basis[0, 1] * ux + basis[1, 1] * uy
                wz = basis[0, 2] * ux + basis[1, 2] * uy
                o0 = m[0, 0] * wx + m[0, 1] * wy + m[0, 2] * wz
                o1 = m[1, 0] * wx + m[1, 1] * wy + m[1, 2] * wz
                o2 = m[2, 0] * wx + m[2, 1] * wy + m[2, 2] * wz
                qb = o0 * s0 + o1 * s1 + o2 * s2
                disc = qb * qb - qa * (o0 * o0 + o1 * o1 + o2 * o2 - 1.0)
                if disc < 0.0:
                    continue
                # Light finds its way through a crown here and there.
                if leaves and hash3(x, y, i) > ellipsoid_par[i, 1] + (0.2 if ellipsoid_par[i, 3] == 0.0 else -0.15):
                    continue
                h = top + (math.sqrt(disc) - qb) / qa
                if h > shadow[y, x]:
                    shadow[y, x] = h
