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
class Motion:
    """How an object moves in a sequence.

    Args:
        group: What moves at one speed, such as the cars of a lane. In the group 'walk', each object has its own.
        x: Direction to the right, before the street is bent.
        z: Direction along the street.
    """

    group: str
    x: float
    z: float


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
        self.motions: dict[int, Motion] = {}
        self._rotation = np.eye(3)
        self._translation = np.zeros(3)

    def begin(self, label: str, instance: bool = False) -> None:
        """Begin an object of a class: an instance of its own, or a part of its class."""
        self._labels.append(LABEL_ID[label])
        self._instances.append(instance)

    def move(self, group: str) -> None:
        """Let the object begun last move in sequences, to where the things that are placed now face.

        Args:
            group: The `Motion.group`.
        """
        x, z = self._rotation[0, 2], self._rotation[2, 2]
        # Along the street or across it: small turns would lead out of the lane.
        along = abs(z) >= abs(x)
        self.motions[len(self._labels) - 1] = Motion(
            group, 0.0 if along else math.copysign(1.0, x), math.copysign(1.0, z) if along else 0.0
        )

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

    def mesh(self, bend: float = 0.0, slope: float = 0.0, shifts: Floats | None = None) -> Mesh:
        """Gather everything; the street bends sideways by `bend` z^2 / 2 and rises by `slope` z^2 / 2.

        Args:
            bend: Curvature to the right, 1 / m.
            slope: Curvature upwards, 1 / m.
            shifts: How far each object has moved before the street is bent, metres, shape (objects, 3); None for not.
        """
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
        if shifts is not None:
            v = v + np.repeat(shifts[[q[8] for q in quads]], counts, axis=0)[:, None]
        triangles = v[:, split].reshape(-1, 3, 3)
        triangles = np.ascontiguousarray(_bent(triangles, bend, slope))

        ellipsoids = self._ellipsoids
        centres = np.array([e[0] for e in ellipsoids]).reshape(-1, 3)
        if shifts is not None:
            centres = centres + shifts[[e[5] for e in ellipsoids]]
        centres = _bent(centres, bend, slope)
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
