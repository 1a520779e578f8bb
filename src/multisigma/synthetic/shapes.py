# ruff: noqa: RUF005 - `array + list` adds numbers here
"""Geometry of the street scenes: a builder of quadrilaterals and ellipsoids, and the things built from them.

World axes are x right, y up, z along the street, metres, y = 0 on the road. Things are built in axes of their own,
standing at the origin and facing +z, and `Geometry.place` says where the origin stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from multisigma.datasets.labels import LABELS
from multisigma.synthetic import materials as m

Floats = NDArray[np.float64]
Colour = tuple[float, float, float] | Floats

LABEL_ID = {label.name: label.id for label in LABELS}

_BOX_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_FACES = np.array([[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]])
_BOX_S = np.array([2, 2, 0, 0, 0, 0])
_BOX_T = np.array([1, 1, 2, 2, 1, 1])
_BOX_QUADS = _BOX_CORNERS[_BOX_FACES]  # (6, 4, 3)
_BOX_ST = np.stack(
    [
        np.take_along_axis(_BOX_QUADS, np.broadcast_to(_BOX_S[:, None, None], (6, 4, 1)), 2)[..., 0],
        np.take_along_axis(_BOX_QUADS, np.broadcast_to(_BOX_T[:, None, None], (6, 4, 1)), 2)[..., 0],
    ],
    -1,
)


# Vertices (n, 4, 3), texture or None, centre or None, roundness, n, material, colour, parameters, object.
Quads = tuple[Floats, Floats | None, Floats | None, float, int, int, Colour, Sequence[float], int]
# Both ends (2, 3), radius, sides, material, colour, object.
Tube = tuple[Floats, float, int, int, Colour, int]


@dataclass(frozen=True)
class Mesh:
    """A scene ready to be drawn: N quadrilaterals as 2 N triangles, E ellipsoids, and the objects that they belong to.

    `triangles` (T, 3, 3), `normals` (T, 3, 3), `st` (T, 3, 2) texture coordinates; `centres` (E, 3), `axes` (E, 3, 3)
    with semi-axes as columns; material, colour (linear albedo), parameters and object of the T + E primitives; label
    id of each object, and whether it is an instance.
    """

    triangles: Floats
    normals: Floats
    st: Floats
    centres: Floats
    axes: Floats
    material: NDArray[np.int32]
    colour: Floats
    parameters: Floats
    objects: NDArray[np.int32]
    object_label: NDArray[np.uint8]
    object_is_instance: NDArray[np.bool_]


class Geometry:
    """Collects primitives; every primitive added belongs to the object begun last."""

    def __init__(self) -> None:
        self._quads: list[Quads] = []
        self._tubes: list[Tube] = []
        self._ellipsoids: list[tuple[Floats, Floats, int, Colour, Sequence[float], int]] = []
        self._labels: list[int] = []
        self._instances: list[bool] = []
        self._rotation = np.eye(3)
        self._translation = np.zeros(3)

    def begin(self, label: str, instance: bool = False) -> None:
        """Begin an object of a class: an instance of its own, or a part of its class."""
        self._labels.append(LABEL_ID[label])
        self._instances.append(instance)

    @contextmanager
    def place(self, x: float, y: float, z: float, yaw: float = 0.0, scale: float = 1.0) -> Iterator[None]:
        """Put what is built inside at (x, y, z), turned by `yaw` radians from +z towards +x."""
        kept = self._rotation, self._translation
        c, s = math.cos(yaw) * scale, math.sin(yaw) * scale
        turn = np.array([[c, 0.0, s], [0.0, scale, 0.0], [-s, 0.0, c]])
        self._translation = self._rotation @ np.array([x, y, z]) + self._translation
        self._rotation = self._rotation @ turn
        yield
        self._rotation, self._translation = kept

    def quads(
        self,
        vertices: ArrayLike,
        material: int,
        colour: Colour,
        st: ArrayLike | None = None,
        par: Sequence[float] = (),
        centre: ArrayLike | None = None,
        roundness: float = 0.0,
    ) -> None:
        """Add quadrilaterals (n, 4, 3); normals lean away from `centre` by `roundness`; texture defaults to metres."""
        v = np.asarray(vertices, float).reshape(-1, 4, 3)
        middle = None if centre is None else np.asarray(centre, float) @ self._rotation.T + self._translation
        world = v @ self._rotation.T + self._translation
        texture = None if st is None else np.asarray(st, float)
        self._quads.append((world, texture, middle, roundness, len(v), material, colour, par, len(self._labels) - 1))

    def box(self, centre: ArrayLike, size: ArrayLike, material: int, colour: Colour, par: Sequence[float] = ()) -> None:
        """Add a box by its centre and its size."""
        size = np.asarray(size, float)
        st = np.stack([_BOX_ST[..., 0] * size[_BOX_S][:, None], (_BOX_ST[..., 1] + 0.5) * size[_BOX_T][:, None]], -1)
        self.quads(_BOX_QUADS * size + np.asarray(centre, float), material, colour, st, par)

    def tube(
        self, start: ArrayLike, end: ArrayLike, radius: float, material: int, colour: Colour, sides: int = 5
    ) -> None:
        """Add a round bar between two points."""
        ends = np.array([start, end], float) @ self._rotation.T + self._translation
        self._tubes.append((ends, radius, sides, material, colour, len(self._labels) - 1))

    def ellipsoid(
        self,
        centre: ArrayLike,
        radii: ArrayLike,
        material: int,
        colour: Colour,
        par: Sequence[float] = (),
        axes: Floats | None = None,
    ) -> None:
        """Add an ellipsoid by its centre and its semi-axes' lengths; `axes` (3, 3) has their directions as columns."""
        semi = np.diag(np.asarray(radii, float)) if axes is None else axes * np.asarray(radii, float)
        self._ellipsoids.append(
            (
                self._rotation @ np.asarray(centre, float) + self._translation,
                self._rotation @ semi,
                material,
                colour,
                par,
                len(self._labels) - 1,
            )
        )

    def clumps(self, centres: Floats, radii: Floats, colours: Floats, par: Sequence[float]) -> None:
        """Add upright ellipsoids of foliage by centres, radii and colours, each (n, 3)."""
        world = centres @ self._rotation.T + self._translation
        axes = self._rotation * radii[:, None, :]
        owner = len(self._labels) - 1
        self._ellipsoids.extend((c, a, m.FOLIAGE, k, par, owner) for c, a, k in zip(world, axes, colours, strict=True))

    def limb(
        self, start: ArrayLike, end: ArrayLike, radius: float, material: int, colour: Colour, par: Sequence[float] = ()
    ) -> None:
        """Add a long ellipsoid from one point to another."""
        (ax, ay, az), (bx, by, bz) = np.asarray(start).tolist(), np.asarray(end).tolist()
        x, y, z = bx - ax, by - ay, bz - az
        length = math.sqrt(x * x + y * y + z * z)
        x, y, z = x / length, y / length, z / length
        # Limbs hang more than they point sideways, so x serves to complete the axes.
        k = 1.0 / math.sqrt(max(1.0 - x * x, 1e-9))
        axes = np.array([[(1.0 - x * x) * k, x, 0.0], [-x * y * k, y, z * k], [-x * z * k, z, -y * k]])
        centre = ((ax + bx) / 2, (ay + by) / 2, (az + bz) / 2)
        self.ellipsoid(centre, (radius, length / 2 + 0.4 * radius, radius), material, colour, par, axes)

    def mesh(self, bend: float = 0.0, slope: float = 0.0) -> Mesh:
        """Gather everything; the street bends sideways by `bend` z^2 / 2 and rises by `slope` z^2 / 2."""
        quads = self._quads + _tube_quads(self._tubes)
        counts = np.array([q[4] for q in quads], np.int64)
        v = np.concatenate([np.zeros((0, 4, 3)), *[q[0] for q in quads]])
        starts = np.cumsum(counts) - counts
        st = np.zeros((len(v), 4, 2))
        st[:, 1:3, 0] = np.linalg.norm(v[:, 1] - v[:, 0], axis=1)[:, None]
        st[:, 2:, 1] = np.linalg.norm(v[:, 3] - v[:, 0], axis=1)[:, None]
        total = np.add.reduceat(v.mean(1), starts) if len(starts) else np.zeros((0, 3))
        centre = np.repeat((total / counts[:, None])[:, None] * np.ones((1, 4, 1)), counts, axis=0)
        for start, q in zip(starts.tolist(), quads, strict=True):
            if q[1] is not None:
                st[start : start + q[4]] = q[1]
            if q[2] is not None:
                centre[start : start + q[4]] = q[2]
        roundness = np.repeat([q[3] for q in quads], counts)[:, None, None]
        flat = np.cross(v[:, 2] - v[:, 0], v[:, 3] - v[:, 1])
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
        outward = ((v.mean(1) - centre.mean(1)) * flat).sum(1)
        flat = np.where((outward < 0)[:, None], -flat, flat)[:, None, :]
        radial = v - centre
        radial /= np.maximum(np.linalg.norm(radial, axis=2, keepdims=True), 1e-9)
        normals = flat * (1 - roundness) + radial * roundness
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
        split = np.array([[0, 1, 2], [0, 2, 3]])
        triangles = v[:, split].reshape(-1, 3, 3)
        triangles = np.ascontiguousarray(_bent(triangles, bend, slope))

        ellipsoids = self._ellipsoids
        centres = _bent(np.array([e[0] for e in ellipsoids]).reshape(-1, 3), bend, slope)
        per_quad = 2 * counts

        def gather(quad: int, ellipsoid: int) -> NDArray[np.generic]:
            a = np.repeat(np.array([q[quad] for q in quads]), per_quad, axis=0)
            b = np.array([e[ellipsoid] for e in ellipsoids], dtype=a.dtype).reshape(-1, *a.shape[1:])
            return np.concatenate([a, b])

        parameters = np.zeros((len(quads) + len(ellipsoids), m.PARAMETERS))
        for row, par in enumerate([q[7] for q in quads] + [e[4] for e in ellipsoids]):
            parameters[row, : len(par)] = par
        parameters = np.concatenate([np.repeat(parameters[: len(quads)], per_quad, axis=0), parameters[len(quads) :]])
        return Mesh(
            triangles=triangles,
            normals=np.ascontiguousarray(normals[:, split].reshape(-1, 3, 3)),
            st=np.ascontiguousarray(st[:, split].reshape(-1, 3, 2)),
            centres=centres,
            axes=np.array([e[1] for e in ellipsoids]).reshape(-1, 3, 3),
            material=gather(5, 2).astype(np.int32),
            # Colours are chosen as they look; light adds up in linear units.
            colour=np.clip(gather(6, 3).astype(np.float64), 0.0, 1.0) ** 2.2,
            parameters=parameters,
            objects=gather(8, 5).astype(np.int32),
            object_label=np.array(self._labels, np.uint8),
            object_is_instance=np.array(self._instances),
        )


def _tube_quads(tubes: Sequence[Tube]) -> list[Quads]:
    """The sides of round bars, all at once."""
    quads: list[Quads] = []
    for sides in sorted({tube[2] for tube in tubes}):
        group = [tube for tube in tubes if tube[2] == sides]
        ends = np.stack([tube[0] for tube in group])  # (n, 2, 3)
        d = ends[:, 1] - ends[:, 0]
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        e = np.cross(d, np.where(np.abs(d[:, :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]))
        e /= np.linalg.norm(e, axis=1, keepdims=True)
        turn = np.arange(sides + 1)[:, None, None] * (2 * math.pi / sides)
        ring = np.array([tube[1] for tube in group])[:, None] * (np.cos(turn) * e + np.sin(turn) * np.cross(d, e))
        a, b = ends[:, 0], ends[:, 1]  # ring (sides + 1, n, 3)
        v = np.stack([a + ring[:-1], a + ring[1:], b + ring[1:], b + ring[:-1]], 2).transpose(1, 0, 2, 3)
        centre = np.stack([a, a, b, b], 1)
        for k, (_, _, _, material, colour, owner) in enumerate(group):
            quads.append((v[k], None, centre[k], 1.0, sides, material, colour, (), owner))
    return quads


def _bent(points: Floats, bend: float, slope: float) -> Floats:
    z = points[..., 2]
    far = np.maximum(z, 0.0) ** 2 / 2
    return points + np.stack([bend * far, slope * far, np.zeros_like(z)], -1)


def _shrunk(quad: Floats, amount: float, centre: Floats) -> Floats:
    """Quads (n, 4, 3) drawn in by a share of their size and raised a little from `centre`."""
    middle = quad.mean(1, keepdims=True)
    normal = np.cross(quad[:, 2] - quad[:, 0], quad[:, 3] - quad[:, 1])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    sign = np.sign(((middle[:, 0] - centre) * normal).sum(1))[:, None, None]
    return middle + (quad - middle) * (1 - amount) + 0.012 * sign * normal[:, None]


# A body is a row of stations along z: (z, sill height, belt height, roof height, half width at the belt, half width
# at the roof).
Station = tuple[float, float, float, float, float, float]

CARS: dict[str, list[Station]] = {
    "sedan": [
        (-2.28, 0.38, 0.72, 0.72, 0.74, 0.7), (-2.18, 0.24, 0.95, 0.95, 0.86, 0.8),
        (-1.62, 0.2, 1.0, 1.0, 0.9, 0.84), (-0.85, 0.2, 0.98, 1.4, 0.91, 0.64),
        (0.05, 0.2, 0.95, 1.46, 0.91, 0.66), (0.25, 0.2, 0.94, 1.42, 0.91, 0.65),
        (1.1, 0.2, 0.92, 0.92, 0.9, 0.84), (1.95, 0.22, 0.8, 0.8, 0.86, 0.8),
        (2.25, 0.34, 0.62, 0.62, 0.72, 0.7),
    ],
    "hatchback": [
        (-1.98, 0.36, 0.8, 0.8, 0.74, 0.7), (-1.9, 0.24, 0.98, 1.0, 0.84, 0.7),
        (-1.5, 0.2, 0.99, 1.42, 0.87, 0.64), (-0.3, 0.2, 0.97, 1.5, 0.88, 0.66),
        (0.3, 0.2, 0.95, 1.45, 0.88, 0.65), (1.1, 0.2, 0.95, 0.95, 0.87, 0.82),
        (1.75, 0.22, 0.82, 0.82, 0.83, 0.78), (1.98, 0.34, 0.62, 0.62, 0.72, 0.7),
    ],
    "estate": [
        (-2.32, 0.36, 0.78, 0.78, 0.76, 0.7), (-2.24, 0.24, 0.97, 1.02, 0.86, 0.72),
        (-1.95, 0.2, 0.99, 1.42, 0.9, 0.66), (-0.8, 0.2, 0.97, 1.48, 0.91, 0.67),
        (0.3, 0.2, 0.95, 1.44, 0.91, 0.66), (1.12, 0.2, 0.93, 0.93, 0.9, 0.84),
        (1.95, 0.22, 0.8, 0.8, 0.86, 0.8), (2.28, 0.34, 0.62, 0.62, 0.72, 0.7),
    ],
    "suv": [
        (-2.25, 0.46, 0.9, 0.9, 0.8, 0.74), (-2.2, 0.32, 1.1, 1.2, 0.9, 0.76),
        (-1.9, 0.28, 1.12, 1.62, 0.94, 0.7), (-0.5, 0.28, 1.1, 1.7, 0.95, 0.72),
        (0.45, 0.28, 1.09, 1.66, 0.95, 0.71), (1.1, 0.28, 1.08, 1.08, 0.94, 0.88),
        (1.95, 0.3, 0.98, 0.98, 0.9, 0.86), (2.25, 0.42, 0.74, 0.74, 0.78, 0.74),
    ],
    "van": [
        (-2.5, 0.4, 1.1, 1.8, 0.92, 0.84), (-2.4, 0.26, 1.12, 1.95, 0.97, 0.86),
        (-0.8, 0.26, 1.12, 2.0, 0.98, 0.88), (0.9, 0.26, 1.12, 1.95, 0.98, 0.86),
        (1.15, 0.26, 1.12, 1.85, 0.98, 0.84), (1.9, 0.28, 1.1, 1.1, 0.95, 0.88),
        (2.35, 0.3, 0.9, 0.9, 0.9, 0.84), (2.5, 0.4, 0.66, 0.66, 0.8, 0.74),
    ],
}  # fmt: skip
WHEEL_RADIUS = {"sedan": 0.32, "hatchback": 0.3, "estate": 0.32, "suv": 0.37, "van": 0.34}
AXLE = {"sedan": 1.36, "hatchback": 1.22, "estate": 1.38, "suv": 1.36, "van": 1.5}

DARK = (0.11, 0.12, 0.13)
RUBBER = (0.12, 0.12, 0.125)


def loft(g: Geometry, stations: Sequence[Station], paint: Colour, blind: Sequence[int] = ()) -> None:
    """A vehicle's body through its stations, with glass in the cabin; segments in `blind` have no side windows."""
    z, sill, belt, roof, w, wr = np.array(stations).T
    centre = np.array([0.0, float(belt.mean()), float(z.mean())])
    mid = 0.45 * sill + 0.55 * belt
    cabin = roof > belt + 1e-6
    glazed = cabin[:-1] | cabin[1:]
    seen = glazed & (np.diff(z) > 0.3) & ~np.isin(np.arange(len(z) - 1), blind)
    top = np.maximum(roof, belt)
    eave = np.where(cabin, wr, w - 0.04)
    lower: list[Floats] = []
    upper: list[Floats] = []
    windows: list[Floats] = []

    def band(low: Floats, high: Floats) -> Floats:
        return np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1)

    for side in (-1.0, 1.0):
        foot = np.stack([side * (w - 0.05), sill, z], 1)
        bulge = np.stack([side * w, mid, z], 1)
        waist = np.stack([side * (w - 0.04), belt, z], 1)
        cheek = band(waist, np.stack([side * eave, top, z], 1))
        lower += [band(foot, bulge), band(bulge, waist)]
        upper.append(cheek[glazed])
        windows.append(cheek[seen])
    cover = band(np.stack([-eave, top, z], 1), np.stack([eave, top, z], 1))
    upper.append(cover)
    windows.append(cover[cabin[:-1] != cabin[1:]])
    for k in (0, len(z) - 1):
        a, b = w[k], wr[k]
        lower.append(np.array([[[-a, sill[k], z[k]], [a, sill[k], z[k]], [a, belt[k], z[k]], [-a, belt[k], z[k]]]]))
        if cabin[k]:
            pane = np.array([[[-a, belt[k], z[k]], [a, belt[k], z[k]], [b, roof[k], z[k]], [-b, roof[k], z[k]]]])
            upper.append(pane)
            windows.append(pane)
    g.quads(np.concatenate(lower), m.PAINT, paint, None, (), centre, 0.35)
    g.quads(np.concatenate(upper), m.PAINT, paint, None, (), centre, 0.25)
    g.quads(_shrunk(np.concatenate(windows), 0.14, centre), m.GLASS, DARK, None, (), centre, 0.1)


def wheel(g: Geometry, x: float, z: float, radius: float, half: float = 0.11) -> None:
    """A wheel whose outer face lies at `x`."""
    side = math.copysign(1.0, x)
    g.ellipsoid((x - side * (half - 0.01), radius, z), (half * 1.15, radius * 0.98, radius * 0.98), m.PLAIN, RUBBER)
    r = radius
    face = [[x, 0.0, z - r], [x, 0.0, z + r], [x, 2 * r, z + r], [x, 2 * r, z - r]]
    g.quads([face], m.WHEEL, (0.62, 0.63, 0.65), [[-1, -1], [1, -1], [1, 1], [-1, 1]], (), (0.0, r, z))


def car(g: Geometry, rng: np.random.Generator, paint: Colour, lights: bool = False) -> None:
    """A passenger car of a random body shape, about 4.0 to 5.0 m long."""
    body = str(rng.choice(list(CARS), p=[0.26, 0.3, 0.2, 0.16, 0.08]))
    scale = rng.uniform(0.94, 1.06)
    stations = CARS[body]
    length = stations[-1][0]
    with g.place(0.0, 0.0, 0.0, 0.0, scale):
        loft(g, stations, paint, blind=(2, 3) if body == "van" and rng.random() < 0.5 else ())
        for z in (-AXLE[body], AXLE[body]):
            for x in (-0.9, 0.9):
                wheel(g, x * stations[3][4] / 0.9, z, WHEEL_RADIUS[body])
        _lamps(g, stations[1][0] - 0.1, 0.62, 0.7, 0.16, 0.1, (0.75, 0.06, 0.05), 0.5 + lights)
        _lamps(g, length - 0.06, 0.58, 0.62, 0.18, 0.075, (0.95, 0.95, 0.9), 0.3 + 2.0 * lights)
        bumper = DARK if rng.random() < 0.4 else paint
        g.box((0, 0.42, length - 0.1), (1.5, 0.2, 0.26), m.PAINT, bumper)
        g.box((0, 0.45, stations[0][0] + 0.08), (1.55, 0.24, 0.24), m.PAINT, bumper)
        for z in (stations[0][0] - 0.05, length + 0.035):
            g.quads([_upright(0.0, 0.46, z, 0.26, 0.055)], m.PLAIN, (0.86, 0.86, 0.84))
        g.box((0, 0.62, length - 0.03), (0.7, 0.09, 0.1), m.PLAIN, DARK)
        for x in (-1.0, 1.0):
            g.ellipsoid((x * stations[3][4], 1.0, stations[-3][0] - 0.35), (0.12, 0.08, 0.06), m.PAINT, paint)
        g.quads([[[-0.8, 0.2, -length], [0.8, 0.2, -length], [0.8, 0.2, length], [-0.8, 0.2, length]]], m.PLAIN, DARK)


def _upright(x: float, y: float, z: float, half_width: float, half_height: float) -> list[list[float]]:
    a, b = half_width, half_height
    return [[x - a, y - b, z], [x + a, y - b, z], [x + a, y + b, z], [x - a, y + b, z]]


def _lamps(g: Geometry, z: float, x: float, y: float, width: float, height: float, colour: Colour, glow: float) -> None:
    for side in (-x, x):
        g.ellipsoid((side, y, z), (width, height, 0.07), m.LAMP, colour, (glow,))


def _long(length: float, step: float, sill: float, belt: float, roof: float, w: float, nose: float) -> list[Station]:
    """Stations of a box-like body with a slightly raked front and rear."""
    n = max(round((length - 2 * nose) / step), 1)
    inner = np.linspace(-length / 2 + nose, length / 2 - nose, n + 1)
    ends = 0.93
    return [
        (-length / 2, sill + 0.1, belt, roof - 0.25, w * ends, w * ends * 0.92),
        *[(float(z), sill, belt, roof, w, w * 0.95) for z in inner],
        (length / 2, sill + 0.1, belt, roof - 0.25, w * ends, w * ends * 0.92),
    ]


def bus(g: Geometry, rng: np.random.Generator, paint: Colour) -> None:
    """A city bus, 10 to 12 m long."""
    length = rng.uniform(10.0, 12.0)
    loft(g, _long(length, 1.5, 0.32, 1.1, 3.0, 1.26, 0.25), paint)
    g.box((0, 0.75, 0), (2.55, 0.25, length - 0.8), m.PAINT, rng.uniform(0.1, 0.9, 3))
    for z in (-length / 2 + 2.6, length / 2 - 2.4):
        for x in (-1.29, 1.29):
            wheel(g, x, z, 0.48, 0.16)
    _lamps(g, length / 2 - 0.03, 0.9, 0.7, 0.16, 0.1, (0.95, 0.95, 0.9), 1.0)
    _lamps(g, -length / 2 - 0.02, 1.0, 1.0, 0.09, 0.2, (0.8, 0.06, 0.05), 0.7)
    for z in (length / 2 + 0.01, -length / 2 - 0.01):
        g.box((0, 2.72, z), (1.6, 0.3, 0.12), m.LAMP, (0.95, 0.6, 0.1), (0.3,))


def tram(g: Geometry, rng: np.random.Generator, paint: Colour) -> None:
    """A tram of two or three cars, about 9 m each."""
    cars = int(rng.integers(2, 4))
    second = rng.uniform(0.2, 0.9, 3)
    for k in range(cars):
        with g.place(0.0, 0.0, (k - (cars - 1) / 2) * 9.6):
            loft(g, _long(9.2, 1.4, 0.3, 1.25, 3.3, 1.2, 0.35), paint)
            g.box((0, 0.95, 0), (2.46, 0.4, 8.2), m.PAINT, second)
            g.box((0, 3.35, 0), (1.5, 0.3, 5.0), m.METAL, (0.45, 0.46, 0.48))
            if k + 1 < cars:
                g.box((0, 1.75, 4.8), (2.0, 2.6, 0.5), m.PLAIN, (0.16, 0.16, 0.17))
            for z in (-2.8, 2.8):
                g.box((0, 0.25, z), (2.2, 0.4, 1.8), m.PLAIN, DARK)
    half = cars * 4.8 - 0.25
    _lamps(g, half, 0.8, 0.85, 0.15, 0.1, (0.95, 0.95, 0.9), 1.0)
    _lamps(g, -half, 0.8, 0.85, 0.15, 0.1, (0.8, 0.06, 0.05), 0.7)


def truck(g: Geometry, rng: np.random.Generator, paint: Colour) -> None:
    """A lorry with a closed box, a tank or an open bed, 7 to 9 m long."""
    length = rng.uniform(6.8, 9.0)
    front = length / 2
    cab: list[Station] = [
        (front - 2.1, 0.5, 1.5, 2.7, 1.18, 1.12), (front - 0.6, 0.45, 1.5, 2.8, 1.2, 1.12),
        (front - 0.25, 0.45, 1.45, 2.65, 1.2, 1.1), (front - 0.02, 0.5, 1.4, 1.4, 1.17, 1.1), (front, 0.55, 1.2, 1.2,
        1.16, 1.1),
    ]  # fmt: skip
    loft(g, cab, paint)
    load = rng.uniform(0.25, 0.95, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.65, 0.95))
    middle, bed = -1.1, length - 2.4
    kind = rng.random()
    if kind < 0.65:
        tall = rng.uniform(2.2, 2.6)
        g.box((0, 1.0 + tall / 2, middle), (2.45, tall, bed), m.STRIPES, load, (1.1, 0.06))
        stripe = rng.uniform(0.1, 0.9, 3)
        g.box((0, 1.0 + tall * 0.45, middle), (2.47, tall * 0.25, bed * 0.8), m.PAINT, stripe)
    elif kind < 0.8:
        g.ellipsoid((0, 2.0, middle), (1.15, 1.05, bed * 0.58), m.METAL, (0.75, 0.76, 0.78))
    else:
        for x in (-1.2, 1.2):
            g.box((x, 1.4, middle), (0.06, 0.8, bed), m.STRIPES, load, (0.7, 0.06))
        g.box((0, 1.4, middle - bed / 2), (2.4, 0.8, 0.06), m.STRIPES, load, (0.7, 0.06))
        g.ellipsoid((0, 1.3, middle), (1.05, 0.7, bed * 0.45), m.CONCRETE, (0.45, 0.38, 0.3))
    g.box((0, 0.85, middle), (2.2, 0.25, bed), m.PLAIN, DARK)
    for z in (front - 1.2, -front + 1.4, -front + 2.5):
        for x in (-1.2, 1.2):
            wheel(g, x, z, 0.48, 0.18)
    _lamps(g, front - 0.02, 0.9, 0.75, 0.15, 0.1, (0.95, 0.95, 0.9), 0.8)
    _lamps(g, -front - 0.05, 0.95, 0.8, 0.14, 0.1, (0.8, 0.06, 0.05), 0.6)


def caravan(g: Geometry, paint: Colour) -> None:
    """A camping trailer."""
    loft(g, _long(5.0, 1.5, 0.45, 1.2, 2.5, 1.1, 0.4), paint)
    for x in (-1.12, 1.12):
        wheel(g, x, 0.0, 0.32)


def trailer(g: Geometry, paint: Colour) -> None:
    """A small open goods trailer."""
    g.box((0, 0.75, 0), (1.5, 0.5, 2.6), m.STRIPES, paint, (0.6, 0.05))
    g.tube((0, 0.5, 1.3), (0, 0.5, 2.3), 0.05, m.METAL, (0.4, 0.4, 0.42))
    for x in (-0.82, 0.82):
        wheel(g, x, 0.0, 0.3)


SKIN = np.array([[0.94, 0.76, 0.65], [0.85, 0.64, 0.5], [0.62, 0.43, 0.32], [0.4, 0.27, 0.2]])
HAIR = np.array([[0.1, 0.08, 0.07], [0.25, 0.16, 0.1], [0.45, 0.32, 0.18], [0.75, 0.62, 0.4], [0.55, 0.54, 0.53]])


def person(g: Geometry, rng: np.random.Generator, pose: str = "walk") -> None:
    """A person of 1.55 to 1.9 m ("walk" or "stand"), or one sitting on a saddle 0.95 m high ("ride")."""
    skin = SKIN[rng.integers(len(SKIN))]
    hair = HAIR[rng.integers(len(HAIR))]
    coat = rng.uniform(0.08, 0.85) * np.ones(3) if rng.random() < 0.45 else rng.uniform(0.08, 0.85, 3)
    legs = (
        np.array([0.16, 0.2, 0.32]) * rng.uniform(0.7, 1.8) if rng.random() < 0.5 else np.full(3, rng.uniform(0.1, 0.6))
    )
    shoe = np.full(3, rng.uniform(0.08, 0.5))
    ride = pose == "ride"
    scale = rng.uniform(0.9, 1.06)
    long_coat = not ride and rng.random() < 0.3
    with g.place(0.0, 0.0, 0.0, 0.0, scale):
        hip = 1.0 if ride else 0.92
        lean = 0.28 if ride else 0.03
        chest = np.array([0.0, hip + 0.42, lean])
        step = rng.uniform(0.12, 0.3) if pose == "walk" else rng.uniform(0.0, 0.05)
        swing = step if rng.random() < 0.5 else -step
        girth = rng.uniform(0.9, 1.2)
        g.ellipsoid((0, hip + 0.25, lean * 0.5), (0.2 * girth, 0.36, 0.14 * girth), m.CLOTH, coat)
        g.ellipsoid(chest, (0.225 * girth, 0.17, 0.135 * girth), m.CLOTH, coat)
        if long_coat:
            g.ellipsoid((0, hip - 0.1, 0), (0.22 * girth, 0.42, 0.17 * girth), m.CLOTH, coat)
        head = chest + np.array([0.0, 0.34, 0.06 + lean * 0.3])
        g.limb(chest + [0, 0.1, 0], head, 0.06, m.CLOTH, skin)
        g.ellipsoid(head, (0.083, 0.12, 0.1), m.CLOTH, skin)
        cover = rng.uniform(0.1, 0.9, 3) if ride and rng.random() < 0.6 else hair
        g.ellipsoid(head + [0, 0.035, -0.02], (0.094, 0.112, 0.108), m.CLOTH, cover)
        for side, sign in ((-1.0, swing), (1.0, -swing)):
            top = np.array([0.1 * side, hip, 0.0])
            if ride:
                knee = np.array([0.13 * side, hip - 0.3 + 0.12 * sign / 0.3, 0.38])
                foot = np.array([0.12 * side, 0.36 + 0.5 * sign, 0.2])
            else:
                knee = np.array([0.1 * side, hip * 0.52, 0.06 + 0.75 * sign])
                foot = np.array([0.1 * side, 0.07, 1.3 * sign - 0.08 * (sign < 0)])
            g.limb(top, knee, 0.088 * girth, m.CLOTH, legs)
            g.limb(knee, foot, 0.066 * girth, m.CLOTH, legs)
            g.limb(foot + [0, -0.02, -0.06], foot + [0, -0.02, 0.16], 0.055, m.CLOTH, shoe)
            shoulder = chest + np.array([0.22 * girth * side, 0.06, 0.0])
            if ride:
                elbow, hand = shoulder + [0.06 * side, -0.2, 0.16], np.array([0.25 * side, 1.05, 0.6])
            else:
                elbow = shoulder + [0.05 * side, -0.27, -0.5 * sign]
                hand = elbow + [0.0, -0.22, 0.12 - 0.5 * sign]
            g.limb(shoulder, elbow, 0.062, m.CLOTH, coat)
            g.limb(elbow, hand, 0.05, m.CLOTH, coat)
            g.ellipsoid(hand, (0.045, 0.06, 0.045), m.CLOTH, skin)
        bag = rng.random()
        if bag < 0.2:
            g.ellipsoid(chest + [0, -0.12, -0.2], (0.16, 0.24, 0.11), m.CLOTH, rng.uniform(0.05, 0.7, 3))
        elif bag < 0.35 and not ride:
            g.box((0.36, 0.62, 0.0), (0.08, 0.26, 0.3), m.CLOTH, rng.uniform(0.05, 0.7, 3))


def bicycle(g: Geometry, rng: np.random.Generator, paint: Colour) -> None:
    """A bicycle, 1.7 m long."""
    for z in (-0.52, 0.52):
        square = [[0.0, 0.0, z - 0.34], [0.0, 0.0, z + 0.34], [0.0, 0.68, z + 0.34], [0.0, 0.68, z - 0.34]]
        corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
        g.quads([square], m.SPOKES, (0.17, 0.17, 0.18), corners)
        g.box((0, 0.34, z), (0.035, 0.66, 0.1), m.PLAIN, RUBBER)
    hub, bottom, saddle, stem = (0, 0.34, -0.52), (0, 0.3, -0.05), (0, 0.88, -0.2), (0, 0.86, 0.36)
    for a, b in ((hub, bottom), (bottom, saddle), (bottom, stem), ((0, 0.8, -0.18), stem), (hub, (0, 0.8, -0.18))):
        g.tube(a, b, 0.026, m.PAINT, paint, 4)
    g.tube(stem, (0, 0.34, 0.52), 0.024, m.PAINT, paint, 4)
    g.tube(stem, (0, 1.02, 0.33), 0.022, m.METAL, (0.5, 0.5, 0.5), 4)
    g.tube((-0.28, 1.03, 0.28), (0.28, 1.03, 0.28), 0.022, m.METAL, (0.3, 0.3, 0.3), 4)
    g.ellipsoid((0, 0.93, -0.22), (0.08, 0.045, 0.14), m.PLAIN, DARK)
    if rng.random() < 0.4:
        g.box((0, 0.9, 0.55), (0.32, 0.24, 0.26), m.STRIPES, (0.45, 0.36, 0.24), (0.08, 0.12))
    if rng.random() < 0.6:
        g.box((0, 0.76, -0.58), (0.12, 0.03, 0.36), m.METAL, (0.35, 0.35, 0.36))


def motorcycle(g: Geometry, rng: np.random.Generator, paint: Colour) -> None:
    """A motorcycle or a scooter, 2 m long."""
    for z in (-0.68, 0.68):
        wheel(g, 0.06, z, 0.31, 0.07)
        wheel(g, -0.06, z, 0.31, 0.07)
    g.ellipsoid((0, 0.52, 0.0), (0.2, 0.24, 0.36), m.METAL, (0.3, 0.3, 0.31))
    g.ellipsoid((0, 0.8, 0.18), (0.17, 0.15, 0.34), m.PAINT, paint)
    g.ellipsoid((0, 0.79, -0.4), (0.15, 0.09, 0.42), m.PLAIN, DARK)
    g.ellipsoid((0, 0.66, -0.62), (0.13, 0.13, 0.3), m.PAINT, paint)
    g.ellipsoid((0, 0.92, 0.56), (0.17, 0.2, 0.14), m.PAINT, paint)
    g.ellipsoid((0, 0.9, 0.68), (0.1, 0.09, 0.07), m.LAMP, (0.95, 0.95, 0.9), (0.8,))
    g.tube((0, 0.31, 0.68), (0, 0.95, 0.48), 0.06, m.METAL, (0.6, 0.6, 0.62))
    g.tube((-0.34, 1.05, 0.42), (0.34, 1.05, 0.42), 0.025, m.METAL, (0.2, 0.2, 0.2))
    g.tube((0.16, 0.35, 0.1), (0.16, 0.42, -0.8), 0.06, m.METAL, (0.65, 0.65, 0.67))
    g.ellipsoid((0, 0.72, -0.92), (0.08, 0.05, 0.04), m.LAMP, (0.8, 0.05, 0.05), (0.6,))
    if rng.random() < 0.4:
        g.box((0, 1.0, -0.75), (0.4, 0.34, 0.36), m.PLAIN, DARK)


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
    clumps = int(rng.integers(9, 15))
    d = rng.normal(size=(clumps, 3))
    d *= rng.uniform(0.35, 0.78, (clumps, 1)) / np.linalg.norm(d, axis=1, keepdims=True)
    where = middle + d * [wide, half, wide]
    size = rng.uniform(0.38, 0.6, (clumps, 1)) * min(half, wide) * [1.1, 1.0, 1.1]
    shade = rng.uniform(0.82, 1.14, (clumps, 1))
    g.clumps(
        where,
        size * rng.uniform(0.85, 1.15, (clumps, 3)),
        np.asarray(leaf) * shade,
        (0.13, rng.uniform(0.52, 0.64), seed),
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
