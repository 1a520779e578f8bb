"""What stands where: a random street, its light and its weather.

The street runs along +z with the camera's car in a right-hand lane at x = 0; both sides are laid out in the same way,
from the kerb outwards: verge, pavement, front garden, houses or gaps, with side streets between the blocks. The
finished street is bent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic import clutter, people, signs, vegetation, vehicles
from multisigma.synthetic import materials as m
from multisigma.synthetic.camera import Response, random_response
from multisigma.synthetic.facades import BLOCKS, BRICKS, DOORS, OFFICE, PANELS, PLAIN, PLASTER, SHOPS
from multisigma.synthetic.shapes import Geometry, Mesh
from multisigma.synthetic.weather import random_weather

Floats = NDArray[np.float64]

KERB = 0.12
BEHIND = -8.0


@dataclass(frozen=True)
class Scene:
    """A street ready to be seen.

    `mesh` is what `geometry` makes with `bend` and `slope`; `length` is that of the street, metres. `light` describes
    sun, sky and weather for the renderer; height, pitch, roll and yaw place the camera (metres, radians; pitch positive
    upwards), `response` is what it makes of the light, and `bonnet` says whether it sees that of its own car.
    """

    mesh: Mesh
    geometry: Geometry
    bend: float
    slope: float
    length: float
    light: Floats
    camera_height: float
    pitch: float
    roll: float
    yaw: float
    response: Response
    bonnet: bool


PAINTS = np.array(
    [
        [0.9, 0.9, 0.9], [0.75, 0.76, 0.78], [0.55, 0.56, 0.58], [0.35, 0.36, 0.38], [0.1, 0.1, 0.11],
        [0.13, 0.13, 0.15], [0.1, 0.16, 0.36], [0.2, 0.35, 0.6], [0.55, 0.08, 0.08], [0.7, 0.15, 0.12],
        [0.16, 0.3, 0.2], [0.42, 0.47, 0.3], [0.45, 0.33, 0.22], [0.62, 0.55, 0.42], [0.75, 0.6, 0.15],
        [0.6, 0.3, 0.1],
    ]
)  # fmt: skip
PAINT_SHARE = np.array([0.14, 0.15, 0.12, 0.1, 0.12, 0.07, 0.06, 0.04, 0.04, 0.03, 0.03, 0.02, 0.03, 0.03, 0.01, 0.01])
#: Wall colours by finish, as they look.
WALLS = {
    PLASTER: np.array(
        [
            [0.72, 0.7, 0.66], [0.66, 0.64, 0.6], [0.76, 0.69, 0.56], [0.68, 0.56, 0.44], [0.55, 0.53, 0.5],
            [0.82, 0.8, 0.77], [0.75, 0.63, 0.52], [0.58, 0.61, 0.65], [0.62, 0.62, 0.56], [0.7, 0.5, 0.42],
        ]
    ),
    BRICKS: np.array(
        [
            [0.46, 0.3, 0.25], [0.52, 0.35, 0.28], [0.4, 0.28, 0.24], [0.56, 0.47, 0.37], [0.5, 0.43, 0.35],
            [0.6, 0.52, 0.42], [0.42, 0.36, 0.32], [0.36, 0.26, 0.23], [0.7, 0.68, 0.65],
        ]
    ),
    BLOCKS: np.array([[0.66, 0.61, 0.52], [0.6, 0.56, 0.49], [0.56, 0.54, 0.5], [0.7, 0.66, 0.58], [0.5, 0.46, 0.4]]),
    PANELS: np.array([[0.5, 0.51, 0.52], [0.38, 0.39, 0.4], [0.62, 0.62, 0.6], [0.3, 0.31, 0.33], [0.58, 0.53, 0.47]]),
}  # fmt: skip
FINISHES = [PLASTER, BRICKS, BLOCKS, PANELS]
FINISH_SHARE = [0.34, 0.34, 0.18, 0.14]


def _wall_colour(rng: np.random.Generator, finish: int) -> Floats:
    """A wall's colour; the brightness varies more than the hue."""
    palette = WALLS[finish]
    return np.asarray(palette[rng.integers(len(palette))] * rng.uniform(0.75, 1.12) * rng.uniform(0.97, 1.03, 3))


LEAVES = np.array(
    [
        [0.3, 0.38, 0.16],
        [0.24, 0.33, 0.15],
        [0.36, 0.42, 0.2],
        [0.22, 0.29, 0.17],
        [0.42, 0.4, 0.18],
        [0.45, 0.33, 0.17],
    ]
)
LEAF_SHARE = np.array([0.28, 0.25, 0.2, 0.13, 0.08, 0.06])


def _paint(rng: np.random.Generator) -> Floats:
    return np.asarray(PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARE)] * rng.uniform(0.88, 1.1))


class Street:
    """One random street; `build` fills `geometry`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.geometry = Geometry()
        self.length = float(rng.uniform(85, 150))
        self.lane = float(rng.uniform(3.0, 3.6))
        self.lanes_left = 1 + int(rng.random() < 0.3)
        self.lanes_right = 1 + int(rng.random() < 0.25)
        self.parking = {-1: bool(rng.random() < 0.45), 1: bool(rng.random() < 0.4)}
        self.edge = {
            -1: self.lane * (0.5 + self.lanes_left) + 2.2 * self.parking[-1],
            1: self.lane * (0.5 + self.lanes_right - 1) + 2.2 * self.parking[1],
        }
        self.urban = float(rng.random())
        self.verge = {side: float(rng.uniform(1.5, 3.2)) if rng.random() < 0.32 else 0.0 for side in (-1, 1)}
        self.pavement = {side: float(rng.uniform(1.6, 5.5)) for side in (-1, 1)}
        # Cars also stand on the pavement, behind its row of trees and posts, which then part them in the image.
        self.bays = {side: bool(rng.random() < 0.4) for side in (-1, 1)}
        for side in (-1, 1):
            if self.bays[side]:
                self.verge[side] *= 0.6
                self.pavement[side] = 4.6 + 0.3 * self.pavement[side]
        garden = rng.random(2) > 0.4 + 0.45 * self.urban
        self.garden = {-1: float(rng.uniform(2.5, 7)) * garden[0], 1: float(rng.uniform(2.5, 7)) * garden[1]}
        self.front = {s: self.edge[s] + self.verge[s] + self.pavement[s] + self.garden[s] for s in (-1, 1)}
        #: Winter: the street's trees are bare, or nearly all of them.
        self.winter = bool(rng.random() < 0.42)
        self.leaf = LEAVES[rng.choice(len(LEAVES), p=LEAF_SHARE)] * rng.uniform(0.65, 1.1)
        self.grass = np.array([0.36, 0.42, 0.2]) * rng.uniform(0.75, 1.2) * [rng.uniform(0.9, 1.25), 1.0, 1.0]
        self.asphalt = np.full(3, rng.uniform(0.25, 0.47)) * [rng.uniform(0.97, 1.05), 1.0, rng.uniform(0.96, 1.06)]
        # Pavements of slabs, of small stones or bricks, and of asphalt as dark as the road's.
        self.paving = str(rng.choice(["slabs", "stones", "asphalt"], p=[0.66, 0.22, 0.12]))
        self.slab = np.full(3, rng.uniform(0.3, 0.58)) * [rng.uniform(0.98, 1.1), 1.0, rng.uniform(0.88, 1.02)]
        if self.paving == "asphalt":
            self.slab = self.asphalt * rng.uniform(0.88, 1.15)
        self.crossings: list[tuple[float, float]] = []
        z = float(rng.uniform(14, 70))
        while z < self.length - 20:
            self.crossings.append((z, z + float(rng.uniform(7.5, 11))))
            z += float(rng.uniform(40, 90))
        if rng.random() < 0.35:
            self.crossings = self.crossings[1:]
        self.taken: list[tuple[float, float, float]] = []

    def leaves(self) -> Floats:
        rng = self.rng
        return np.asarray(self.leaf * rng.uniform(0.75, 1.15) * [rng.uniform(0.88, 1.15), 1.0, rng.uniform(0.85, 1.1)])

    def tree(self, x: float, y: float, z: float, height: float, spread: float = 1.0, crown: float = 0.42) -> None:
        """Plant a tree, which is bare in most of the winter's streets' places."""
        rng = self.rng
        self.geometry.begin("vegetation")
        bare = rng.random() < (0.85 if self.winter else 0.05)
        with self.geometry.place(x, y, z, rng.uniform(0, 6)):
            if bare:
                vegetation.bare_tree(self.geometry, rng, height, spread, crown)
            else:
                vegetation.tree(self.geometry, rng, height, self.leaves(), spread, crown)

    def build(self) -> None:
        """Fill the street: ground, houses, what stands on the pavements, traffic."""
        self.ground()
        for side in (-1, 1):
            self.blocks(side)
            self.street_trees(side)
            self.furniture(side)
            self.parked(side)
            self.pedestrians(side)
        self.end()
        self.traffic()

    def free(self, x: float, z: float, radius: float) -> bool:
        """Claim a disc of the ground if nothing stands there."""
        if any((x - a) ** 2 + (z - b) ** 2 < (radius + r) ** 2 for a, b, r in self.taken):
            return False
        self.taken.append((x, z, radius))
        return True

    def spans(self) -> list[tuple[float, float]]:
        """The stretches of the street between side streets."""
        cuts = [BEHIND, *[z for crossing in self.crossings for z in crossing], self.length]
        return [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]

    def flat(
        self,
        x0: float,
        x1: float,
        z0: float,
        z1: float,
        y: float,
        material: int,
        colour: Floats,
        par: tuple[float, ...],
    ) -> None:
        """Level ground in strips short enough to follow the street's bend; its texture is world x and z."""
        n = max(math.ceil((z1 - z0) / 9.0), 1)
        z = np.linspace(z0, z1, n + 1)
        v = np.empty((n, 4, 3))
        v[:, :, 1] = y
        v[:, [0, 3], 0], v[:, [1, 2], 0] = x0, x1
        v[:, :2, 2], v[:, 2:, 2] = z[:-1, None], z[1:, None]
        self.geometry.quads(v, material, colour, v[:, :, [0, 2]], par)

    def ground(self) -> None:
        g, rng = self.geometry, self.rng
        left, right = -self.edge[-1], self.edge[1]
        seed = float(rng.integers(1 << 20))
        patches, cracks = rng.uniform(0.05, 0.35), rng.uniform(0.2, 1.0)
        g.begin("road")
        self.flat(left, right, BEHIND, self.length, 0.0, m.ASPHALT, self.asphalt, (seed, patches, cracks))
        for z0, z1 in self.crossings:
            for x0, x1 in ((left - 60, left), (right, right + 60)):
                self.flat(x0, x1, z0, z1, 0.0, m.ASPHALT, self.asphalt * 0.97, (seed, patches, cracks))
        self.markings(left, right)
        for side in (-1, 1):
            for z0, z1 in self.spans():
                self.roadside(side, z0, z1)

    def markings(self, left: float, right: float) -> None:
        g, rng = self.geometry, self.rng
        white = np.full(3, rng.uniform(0.55, 0.88))
        y = 0.004
        if rng.random() < 0.18:
            return
        lines: list[tuple[float, float, float]] = []  # x, length of a dash, gap
        centre = -self.lane / 2
        lines.append((centre, 3.0, 6.0) if rng.random() < 0.7 else (centre, 8.0, 0.0))
        for k in range(1, self.lanes_left):
            lines.append((centre - k * self.lane, 3.0, 6.0))
        for k in range(1, self.lanes_right):
            lines.append((centre + k * self.lane, 3.0, 6.0))
        for side in (-1, 1):
            if self.parking[side] and rng.random() < 0.6:
                lines.append((side * (self.edge[side] - 2.2), 8.0, 0.0))
            elif rng.random() < 0.35:
                lines.append((side * (self.edge[side] - 0.3), 8.0, 0.0))
        yellow = rng.random() < 0.35
        for side in (-1, 1):
            if yellow and not self.parking[side]:  # no stopping
                lines.append((side * (self.edge[side] - 0.25), 8.0, -0.5))
                lines.append((side * (self.edge[side] - 0.45), 8.0, -0.5))
        for x, dash, gap in lines:
            starts = np.arange(BEHIND + rng.uniform(0, 6), self.length, dash + gap)
            for a, b in [(c - 4.0, d + 4.0) for c, d in self.crossings]:
                starts = starts[(starts + dash < a) | (starts > b)]
            if len(starts):
                v = np.empty((len(starts), 4, 3))
                v[:, :, 1] = y
                v[:, [0, 3], 0], v[:, [1, 2], 0] = x - 0.07, x + 0.07
                v[:, :2, 2], v[:, 2:, 2] = starts[:, None], starts[:, None] + dash
                g.quads(v, m.MARKING, np.array([0.7, 0.55, 0.2]) if gap < 0 else white, v[:, :, [0, 2]])
        for z0, z1 in self.crossings:
            zebra = rng.random() < 0.55
            for z, near in ((z0 - 3.4, True), (z1 + 0.8, False)):
                if zebra:
                    xs = np.arange(left + 0.4, right - 0.5, 1.0)
                    v = np.empty((len(xs), 4, 3))
                    v[:, :, 1] = y
                    v[:, [0, 3], 0], v[:, [1, 2], 0] = xs[:, None], xs[:, None] + 0.5
                    v[:, :2, 2], v[:, 2:, 2] = z, z + 2.6
                    g.quads(v, m.MARKING, white, v[:, :, [0, 2]])
                if near:
                    a, b = centre + 0.2, right - 2.2 * self.parking[1] - 0.1
                    v = np.array([[a, y, z - 1.2], [b, y, z - 1.2], [b, y, z - 0.8], [a, y, z - 0.8]])
                    g.quads(v, m.MARKING, white, v[:, [0, 2]])
        if rng.random() < 0.4:  # arrows
            for z in np.arange(rng.uniform(6, 12), self.length, rng.uniform(22, 40)):
                shaft = [[-0.08, y, z], [0.08, y, z], [0.08, y, z + 2.2], [-0.08, y, z + 2.2]]
                head = [[-0.35, y, z + 2.2], [0.35, y, z + 2.2], [0.0, y, z + 3.6], [0.0, y, z + 3.6]]
                v = np.array([shaft, head])
                g.quads(v, m.MARKING, white, v[:, :, [0, 2]])

    def roadside(self, side: int, z0: float, z1: float) -> None:
        """Kerb, verge, pavement and what lies behind, on one side between two side streets."""
        g, rng = self.geometry, self.rng
        x = side * self.edge[side]
        far = side * 75.0
        seed = float(rng.integers(1 << 20))
        tile, aspect = rng.uniform(0.4, 1.1), rng.uniform(1.0, 1.8)
        back = x + side * (self.verge[side] + self.pavement[side])
        g.begin("sidewalk")
        n = max(math.ceil((z1 - z0) / 9.0), 1)
        z = np.linspace(z0, z1, n + 1)
        kerb = np.empty((n, 4, 3))
        kerb[:, :, 0] = x
        # It reaches below the road, whose strips bend at other places: no crack may show the sky.
        kerb[:, :2, 1], kerb[:, 2:, 1] = -0.1, KERB + 0.004
        kerb[:, [0, 3], 2], kerb[:, [1, 2], 2] = z[:-1, None], z[1:, None]
        stone = np.full(3, rng.uniform(0.3, 0.52))
        g.quads(kerb, m.BRICK, stone, kerb[:, :, [2, 1]], (seed, 1.0, 0.2))
        for end in (z0, z1):
            edge = np.array([[x, -0.1, end], [back, -0.1, end], [back, KERB, end], [x, KERB, end]])
            g.quads([edge], m.CONCRETE, stone)
        self.flat(x, x + side * 0.16, z0, z1, KERB + 0.004, m.BRICK, stone, (seed, 5.0, 1.0))
        start = x + side * self.verge[side]
        if self.paving == "asphalt":
            self.flat(start, back, z0, z1, KERB, m.ASPHALT, self.slab, (seed, 0.25, 0.6))
        elif self.paving == "stones":
            self.flat(start, back, z0, z1, KERB, m.BRICK, self.slab, (seed, 0.2, 0.1))
        else:
            self.flat(start, back, z0, z1, KERB, m.TILES, self.slab, (tile, seed, aspect))
        if self.verge[side]:
            g.begin("terrain")
            self.flat(x + side * 0.16, start, z0, z1, KERB + 0.002, m.GRASS, self.grass, (seed, rng.random()))
        garden = self.garden[side] > 0
        if garden or rng.random() < 0.4:
            g.begin("terrain")
            self.flat(back, far, z0, z1, KERB - 0.01, m.GRASS, self.grass, (seed, rng.random()))
        else:
            g.begin("ground")
            self.flat(back, far, z0, z1, KERB - 0.01, m.ASPHALT, self.slab * 0.85, (seed, 0.2, 0.5))

    # Houses and gaps

    def blocks(self, side: int) -> None:
        rng = self.rng
        front = self.front[side]
        for z0, z1 in self.spans():
            z = z0
            while z < z1 - 3.0:
                width = min(float(rng.uniform(8, 24)), z1 - z)
                if z1 - z - width < 6.0:
                    width = z1 - z
                if rng.random() < 0.6 + 0.25 * self.urban or width < 6:
                    self.house(side, front + float(rng.uniform(0, 0.8)), z, z + width)
                    if self.garden[side]:
                        self.border(side, z, z + width)
                else:
                    self.gap(side, z, z + width)
                z += width
            # Corner houses have a side to the side street; beyond the first row stands a second.
        self.second_row(side)

    def house(self, side: int, x: float, z0: float, z1: float) -> None:
        g, rng = self.geometry, self.rng
        g.begin("building")
        storey = rng.uniform(2.7, 3.7)
        storeys = int(rng.integers(2 + int(2 * self.urban), 5 + int(4 * self.urban)))
        height = storey * storeys + rng.uniform(0.2, 0.9)
        depth = rng.uniform(9, 14)
        finish = int(rng.choice(FINISHES, p=FINISH_SHARE))
        wall = _wall_colour(rng, finish)
        shops = 0.3 + 0.45 * self.urban
        ground = int(
            rng.choice(
                [PLAIN, SHOPS, DOORS, OFFICE], p=[0.25 * (1 - shops), shops, 0.5 * (1 - shops), 0.25 * (1 - shops)]
            )
        )
        spacing = (z1 - z0) / max(round((z1 - z0) / rng.uniform(1.7, 3.6)), 1)
        par = (
            storey,
            spacing,
            rng.uniform(0.3, 0.66),
            rng.uniform(0.4, 0.62),
            float(rng.integers(1 << 20)),
            float(ground + 10 * finish),
        )
        blank_par = (*par[:5], float(10 * finish))
        a, b = side * x, side * (x + depth)
        n = max(int((z1 - z0) / 9.0), 1)
        z = np.linspace(z0, z1, n + 1)
        face = np.empty((n, 4, 3))
        face[:, :, 0] = a
        face[:, :2, 1], face[:, 2:, 1] = KERB - 0.1, height
        face[:, [0, 3], 2], face[:, [1, 2], 2] = z[:-1, None], z[1:, None]
        st = np.stack([face[:, :, 2] - z0, face[:, :, 1] - KERB], -1)
        g.quads(face, m.FACADE, wall, st, par)
        blank = rng.random() < 0.5
        for z_end in (z0, z1):
            v = np.array([[a, KERB - 0.1, z_end], [b, KERB - 0.1, z_end], [b, height, z_end], [a, height, z_end]])
            st = np.array([[0, 0], [depth, 0], [depth, height], [0, height]])
            if blank:
                g.quads([v], m.CONCRETE, wall * 0.95, st)
            else:
                g.quads([v], m.FACADE, wall, st, (par[0], depth / max(round(depth / 3.2), 1), 0.36, *blank_par[3:]))
        self.roof(side, x, depth, z0, z1, height, blank, wall)
        detail = rng.random()
        if detail < 0.3 and storeys > 2:  # balconies
            for column in np.arange(z0 + spacing / 2 + spacing * int(rng.integers(0, 2)), z1 - 1.0, spacing * 2):
                for floor in range(1, storeys):
                    y = KERB + floor * storey
                    g.box((a - side * 0.5, y, column), (1.0, 0.16, 1.5), m.CONCRETE, wall * 0.9)
                    g.box((a - side * 0.97, y + 0.5, column), (0.06, 0.9, 1.5), m.STRIPES, wall * 0.7, (0.16, 0.1))
        elif detail < 0.4:  # awning or canopy over the ground floor
            cloth = rng.uniform(0.1, 0.8) * rng.uniform(0.55, 1.0, 3)
            w = rng.uniform(0.9, 1.4)
            lo, hi = z0 + 0.6, z1 - 0.6
            v = np.array([[a, 3.0, lo], [a, 3.0, hi], [a - side * w, 2.45, hi], [a - side * w, 2.45, lo]])
            g.quads([v], m.STRIPES, cloth, v[:, [2, 0]], (0.5, 0.1))
        elif detail < 0.75:  # bay
            w, half = 0.9, min(1.6, (z1 - z0) / 4)
            middle = (z0 + z1) / 2
            g.box(
                (a - side * w / 2, height / 2 + 1.4, middle),
                (w, height - 2.8, 2 * half),
                m.FACADE,
                wall,
                (storey, 2 * half, 0.7, *blank_par[3:]),
            )

    def roof(
        self, side: int, x: float, depth: float, z0: float, z1: float, height: float, gabled: bool, wall: Floats
    ) -> None:
        g, rng = self.geometry, self.rng
        a, b, mid = side * x, side * (x + depth), side * (x + depth / 2)
        tile = np.array([[0.5, 0.27, 0.2], [0.38, 0.25, 0.21], [0.3, 0.3, 0.32]][int(rng.integers(3))]) * rng.uniform(
            0.85, 1.2
        )
        if rng.random() < 0.6:
            ridge = height + depth / 2 * rng.uniform(0.4, 0.9)
            eave = a - side * 0.4
            for foot in (eave, b):
                v = np.array([[foot, height - 0.15, z0], [foot, height - 0.15, z1], [mid, ridge, z1], [mid, ridge, z0]])
                st = np.array([[0, 0], [z1 - z0, 0], [z1 - z0, 0.7 * depth], [0, 0.7 * depth]])
                g.quads([v], m.ROOF, tile, st, (3.0,))
            for z in (z0, z1):
                g.quads([[[a, height, z], [b, height, z], [mid, ridge, z], [mid, ridge, z]]], m.CONCRETE, wall * 0.95)
            for _ in range(int(rng.integers(0, 3))):
                z = rng.uniform(z0 + 1, z1 - 1)
                g.box(
                    ((a + mid) / 2 + side * 1.5, ridge - 0.2, z),
                    (0.8, 2.2, 0.8),
                    m.BRICK,
                    (0.45, 0.28, 0.22),
                    (1.0, 0.3, 0.1),
                )
        else:
            g.quads([[[a, height, z0], [b, height, z0], [b, height, z1], [a, height, z1]]], m.CONCRETE, tile)
            g.box((a - side * 0.1, height - 0.2, (z0 + z1) / 2), (0.5, 0.5, z1 - z0), m.CONCRETE, wall * 0.85)

    def border(self, side: int, z0: float, z1: float) -> None:
        """What parts a front garden from the pavement."""
        g, rng = self.geometry, self.rng
        x = side * (self.edge[side] + self.verge[side] + self.pavement[side] + 0.15)
        kind = rng.random()
        if kind < 0.2:
            self.hedge(x + side * 0.4, z0, z1, rng.uniform(0.9, 1.9))
        elif kind < 0.7:
            self.fence(x, z0, z1)
            if rng.random() < 0.5:
                self.hedge(x + side * 0.9, z0, z1, rng.uniform(1.0, 2.4))
        elif kind < 0.95:
            self.wall(x, z0, z1, rng.uniform(0.7, 1.6))
            if rng.random() < 0.5:
                self.hedge(x + side * 0.8, z0, z1, rng.uniform(1.2, 2.0))
        if self.garden[side] > 3.5:
            for _ in range(int(rng.integers(0, 3))):
                at = side * rng.uniform(abs(x) + 1.2, abs(x) + self.garden[side] - 1.0)
                z = rng.uniform(z0, z1)
                if rng.random() < 0.5:
                    self.tree(at, KERB, z, rng.uniform(3.5, 8.5), 0.9, 0.25)
                else:
                    g.begin("vegetation")
                    vegetation.shrubs(
                        g, rng, (at, KERB, z - 1), (at, KERB, z + 1), rng.uniform(0.8, 1.8), self.leaves()
                    )

    def hedge(self, x: float, z0: float, z1: float, height: float) -> None:
        self.geometry.begin("vegetation")
        vegetation.shrubs(self.geometry, self.rng, (x, KERB, z0), (x, KERB, z1), height, self.leaves())

    def wall(self, x: float, z0: float, z1: float, height: float) -> None:
        g, rng = self.geometry, self.rng
        g.begin("wall")
        colour = _wall_colour(rng, int(rng.choice([BRICKS, BLOCKS, PLASTER]))) * rng.uniform(0.8, 1.0)
        if rng.random() < 0.6:
            par = (float(rng.integers(1 << 16)), rng.uniform(0.3, 0.8), rng.uniform(0.12, 0.35))
            material = m.BRICK
        else:
            par, material = (0.0, 0.0, 0.0), m.CONCRETE
        n = max(int((z1 - z0) / 9.0), 1)
        step = (z1 - z0) / n
        for k in range(n):
            z = z0 + (k + 0.5) * step
            g.box((x, KERB + height / 2, z), (0.25, height, step), material, colour, par)
            g.box((x, KERB + height + 0.04, z), (0.36, 0.1, step), m.CONCRETE, colour * 0.9)

    def fence(self, x: float, z0: float, z1: float, railing: float = 0.0) -> None:
        """A fence of planks or of bars; with `railing`, of bars of that height."""
        g, rng = self.geometry, self.rng
        g.begin("fence")
        height = railing or rng.uniform(0.9, 1.9)
        foot = KERB
        if not railing and rng.random() < 0.35:  # on a low wall
            foot += rng.uniform(0.3, 0.8)
            self.wall(x, z0, z1, foot - KERB)
            g.begin("fence")
        if not railing and rng.random() < 0.4:  # planks
            par = (rng.uniform(0.14, 0.3), rng.uniform(0.78, 0.92), height, 0.0)
            colour = np.array(
                [[0.45, 0.34, 0.24], [0.62, 0.6, 0.57], [0.32, 0.26, 0.2], [0.36, 0.4, 0.3]][int(rng.integers(4))]
            )
        else:  # bars
            par = (rng.uniform(0.12, 0.22), rng.uniform(0.22, 0.45), height, float(rng.random() < 0.3))
            colour = np.array([[0.1, 0.1, 0.11], [0.17, 0.22, 0.18], [0.45, 0.46, 0.47]][int(rng.integers(3))])
        n = max(int((z1 - z0) / 9.0), 1)
        z = np.linspace(z0, z1, n + 1)
        v = np.empty((n, 4, 3))
        v[:, :, 0] = x
        v[:, :2, 1], v[:, 2:, 1] = foot, foot + height
        v[:, [0, 3], 2], v[:, [1, 2], 2] = z[:-1, None], z[1:, None]
        g.quads(v, m.FENCE, colour, v[:, :, [2, 1]] - [0.0, foot], par)
        for post in np.arange(z0, z1 + 0.1, 2.5):
            g.box((x, foot + height / 2, post), (0.1, height + 0.08, 0.1), m.METAL, colour * 0.9)

    def gap(self, side: int, z0: float, z1: float) -> None:
        """A place without a house: trees, a car park, or a yard behind a wall or a fence."""
        g, rng = self.geometry, self.rng
        inner = self.edge[side] + self.verge[side] + self.pavement[side]
        kind = rng.random()
        x = side * (inner + 0.3)
        if kind < 0.4:
            for _ in range(int(rng.integers(2, 5))):
                x_tree, z_tree = side * rng.uniform(inner + 2, inner + 14), rng.uniform(z0 + 1, z1 - 1)
                self.tree(x_tree, KERB, z_tree, rng.uniform(6, 14), 1.0, rng.uniform(0.2, 0.35))
            choice = rng.random()
            if choice < 0.4:
                self.hedge(x, z0, z1, rng.uniform(0.8, 2.0))
            elif choice < 0.6:
                self.fence(x, z0, z1)
        elif kind < 0.65:
            g.begin("parking")
            self.flat(
                side * inner, side * (inner + 16), z0, z1, KERB + 0.01, m.ASPHALT, self.asphalt * 0.95, (5.0, 0.2, 0.5)
            )
            for z in np.arange(z0 + 1.5, z1 - 1.2, 2.7):
                if rng.random() < 0.65:
                    g.begin("car", True)
                    with g.place(side * (inner + 3.5), KERB, z, math.pi / 2 * rng.choice([-1, 1])):
                        vehicles.car(g, rng, _paint(rng))
            self.hedge(side * (inner + 16), z0, z1, 3.0)
        elif kind < 0.8:
            self.wall(x, z0, z1, rng.uniform(1.2, 2.6))
            self.grove(side * (inner + 5), z0, z1)
        else:
            self.fence(x, z0, z1)
            self.grove(side * (inner + 6), z0, z1)

    def grove(self, x: float, z0: float, z1: float) -> None:
        rng = self.rng
        for z in np.arange(z0 + 2, z1, rng.uniform(6, 11)):
            self.tree(x + rng.normal(0, 1), KERB, float(z), rng.uniform(5, 12), 1.1, 0.2)

    def second_row(self, side: int) -> None:
        """Houses and trees behind the first row, which are seen through its gaps and along side streets."""
        rng = self.rng
        x = self.front[side] + rng.uniform(24, 32)
        z = BEHIND
        while z < self.length:
            width = rng.uniform(14, 30)
            if rng.random() < 0.6:
                self.house(side, x, z, z + width)
            else:
                self.grove(side * x, z, z + width)
            z += width

    def end(self) -> None:
        """Close the street's far end."""
        g, rng = self.geometry, self.rng
        z = self.length
        if rng.random() < 0.75:
            x = -self.front[-1] - 12.0
            while x < self.front[1] + 12.0:
                width = rng.uniform(9, 20)
                height = rng.uniform(11, 17 + 9 * self.urban)
                finish = int(rng.choice(FINISHES, p=FINISH_SHARE))
                wall = _wall_colour(rng, finish)
                g.begin("building")
                g.box(
                    (x + width / 2, height / 2, z + 8),
                    (width, height, 10),
                    m.FACADE,
                    wall,
                    (3.1, 2.6, 0.5, 0.5, float(rng.integers(1 << 20)), 10.0 * finish),
                )
                x += width
        g.begin("terrain")
        v = np.array([[-150, -0.3, z], [150, -0.3, z], [150, -0.3, z + 60], [-150, -0.3, z + 60]])
        g.quads([v], m.GRASS, self.grass, v[:, [0, 2]], (7.0, 0.5))
        for x in np.arange(-60, 60, rng.uniform(7, 11)):
            self.tree(x + rng.normal(0, 2), -0.2, z + rng.uniform(14, 26), rng.uniform(6, 14), 1.2, 0.1)

    # Things along the street

    def street_trees(self, side: int) -> None:
        rng = self.rng
        if rng.random() > (0.85 if self.verge[side] else 0.5):
            return
        spacing = rng.uniform(6.5, 13)
        offset = self.verge[side] / 2 if self.verge[side] else rng.uniform(0.6, 0.9)
        height = rng.uniform(5.0, 13.0)
        spread = rng.uniform(0.75, 1.05)
        crown = rng.uniform(0.28, 0.42)
        for z in np.arange(rng.uniform(5, 12), min(self.length, 110), spacing):
            if any(a - 1.5 < z < b + 1.5 for a, b in self.crossings) or rng.random() < 0.12:
                continue
            x = side * (self.edge[side] + offset)
            if self.free(x, z, 0.5):
                size = height * rng.uniform(0.8, 1.2)
                self.tree(x + rng.normal(0, 0.1), KERB, z + rng.normal(0, 0.4), size, spread, crown)

    def furniture(self, side: int) -> None:
        g, rng = self.geometry, self.rng
        edge = self.edge[side]
        grey = np.full(3, rng.uniform(0.08, 0.6)) * [1.0, rng.uniform(0.98, 1.06), 1.0]
        tall = rng.uniform(5.5, 9.0)
        reach = rng.uniform(0.8, 2.2)
        if rng.random() < 0.8:
            for z in np.arange(rng.uniform(4, 18), min(self.length, 120), rng.uniform(15, 28)):
                x = side * (edge + 0.45)
                if self.free(x, z, 0.25):
                    g.begin("pole")
                    with g.place(x, KERB, z):
                        g.tube((0, 0, 0), (0, tall, 0), 0.07, m.METAL, grey)
                        g.tube((0, 0, 0), (0, 0.9, 0), 0.105, m.METAL, grey)
                        g.tube((0, tall, 0), (-side * reach, tall + 0.3, 0), 0.06, m.METAL, grey, 4)
                        g.ellipsoid((-side * reach, tall + 0.28, 0), (0.4, 0.1, 0.16), m.METAL, grey)
        if rng.random() < 0.25:  # bollards
            for z in np.arange(rng.uniform(4, 8), rng.uniform(20, 45), 1.8):
                x = side * (edge + 0.35)
                if self.free(x, z, 0.15):
                    g.begin("pole")
                    g.tube(
                        (x, KERB, z),
                        (x, KERB + 0.95, z),
                        0.065,
                        m.METAL,
                        (0.4, 0.16, 0.14) if rng.random() < 0.1 else grey,
                    )
        for _ in range(int(rng.poisson(2.3))):
            self.signpost(side * (edge + rng.uniform(0.3, 0.8)), rng.uniform(6, 75), grey)
        if rng.random() < 0.22:  # a railing along the kerb
            z = rng.uniform(3, 30)
            self.fence(side * (edge + 0.3), z, z + rng.uniform(8, 30), 1.1)
        for z0, z1 in self.crossings:
            if rng.random() < 0.8:
                z = z0 - 2.0 if side > 0 or rng.random() < 0.5 else z1 + 2.0
                self.signal(side, side * (edge + 0.5), z, grey)
        if rng.random() < 0.25:
            self.signal(side, side * (edge + 0.5), rng.uniform(9, 45), grey)
        inner, outer = edge + 0.5, edge + self.verge[side] + self.pavement[side] - 0.5
        for _ in range(int(rng.poisson(2.5))):
            x, z = side * (outer if rng.random() < 0.6 else inner), rng.uniform(6, 60)
            if self.free(x, z, 0.7):
                with g.place(x, KERB, z, math.pi / 2 * side):
                    clutter.random_piece(g, rng)
        if rng.random() < 0.55:
            n = int(rng.integers(2, 8))
            x, z = side * (edge + self.verge[side] + self.pavement[side] - 0.6), rng.uniform(7, 30)
            for k in range(n):
                if self.free(x, z + 0.75 * k, 0.3):
                    g.begin("bicycle", True)
                    with g.place(x, KERB, z + 0.75 * k, math.pi / 2 + rng.normal(0, 0.15)):
                        vehicles.bicycle(g, rng, _paint(rng) * rng.uniform(0.4, 1.0))
        for _ in range(int(rng.poisson(1.0))):
            x, z = side * (edge + rng.uniform(0.6, 1.4)), rng.uniform(7, 45)
            if self.free(x, z, 0.6):
                bike = rng.random() < 0.6
                g.begin("bicycle" if bike else "motorcycle", True)
                with g.place(x, KERB, z, rng.normal(0, 0.4) + math.pi * rng.integers(2)):
                    (vehicles.bicycle if bike else vehicles.motorcycle)(g, rng, _paint(rng))

    def signpost(self, x: float, z: float, grey: Floats) -> None:
        g, rng = self.geometry, self.rng
        if not self.free(x, z, 0.2):
            return
        height = rng.uniform(2.2, 3.1)
        with g.place(x, KERB, z, rng.normal(0, 0.12)):
            g.begin("pole")
            g.tube((0, 0, 0), (0, height, 0), 0.04, m.METAL, grey, 4)
            g.begin("traffic sign")
            facing = -1.0 if rng.random() < 0.75 else 1.0
            y = height - 0.25
            for _ in range(int(rng.choice([1, 2, 3], p=[0.55, 0.35, 0.1]))):
                kind = int(rng.choice(7, p=[0.36, 0.14, 0.06, 0.04, 0.1, 0.15, 0.15]))
                size = rng.uniform(0.55, 0.85)
                signs.sign(g, kind, y, size, facing, int(rng.integers(4)))
                y -= size + 0.06
            if rng.random() < 0.1:
                signs.sign(g, 5, height + 0.6, 1.1, facing, int(rng.integers(4)))

    def signal(self, side: int, x: float, z: float, grey: Floats) -> None:
        g, rng = self.geometry, self.rng
        if not self.free(x, z, 0.25):
            return
        lit = int(rng.integers(3))
        facing = -1.0 if side > 0 or rng.random() < 0.6 else 1.0
        gantry = rng.random() < 0.3
        with g.place(x, KERB, z):
            g.begin("pole")
            g.tube((0, 0, 0), (0, 5.3 if gantry else 3.2, 0), 0.075, m.METAL, grey)
            if gantry:
                g.tube((0, 5.2, 0), (-side * 4.0, 5.3, 0), 0.06, m.METAL, grey, 4)
            g.begin("traffic light")
            with g.place(0, 0, 0.16 * facing):
                signs.traffic_light(g, 2.25, facing, lit, False)
            if gantry:
                with g.place(-side * 3.9, 0, 0.16 * facing):
                    signs.traffic_light(g, 4.6, facing, lit, False)
            if rng.random() < 0.5:
                with g.place(-side * 0.2, 0, 0, side * math.pi / 2):
                    signs.traffic_light(g, 2.1, 1.0, int(rng.integers(2)), True)

    def pedestrians(self, side: int) -> None:
        g, rng = self.geometry, self.rng
        inner = self.edge[side] + self.verge[side]
        spots: list[tuple[float, float, bool]] = []
        for _ in range(int(rng.poisson(1.8 + 1.8 * self.urban))):
            x, z = side * (inner + rng.uniform(0.3, self.pavement[side] - 0.2)), rng.uniform(6, 38)
            together = int(rng.choice([1, 2, 3, 4], p=[0.52, 0.3, 0.12, 0.06]))
            spots.extend((x + side * 0.55 * k, z + rng.normal(0, 0.15), False) for k in range(together))
        for z0, _ in self.crossings[:1]:
            if rng.random() < 0.3:
                spots.extend(
                    (rng.uniform(-self.edge[-1], self.edge[1]), z0 - 2.0 + rng.normal(0, 0.5), True)
                    for _ in range(int(rng.integers(1, 4)))
                )
        for x, z, across in spots:
            if not self.free(x, z, 0.2):
                continue
            g.begin("person", True)
            yaw = math.pi / 2 * rng.choice([-1, 1]) if across else math.pi * rng.integers(2)
            with g.place(x, 0.0 if across else KERB, z, yaw + rng.normal(0, 0.25)):
                walks = rng.random() < 0.75 or across
                if walks:
                    g.move("cross" if across else "walk")
                people.person(g, rng, "walk" if walks else "stand")
        if rng.random() < 0.06:
            g.begin("person")
            z = rng.uniform(20, 50)
            for _ in range(int(rng.integers(5, 12))):
                with g.place(
                    side * (inner + rng.uniform(0.3, self.pavement[side])),
                    KERB,
                    z + rng.normal(0, 1.5),
                    rng.uniform(0, 6),
                ):
                    people.person(g, rng, "stand")

    def parked(self, side: int) -> None:
        """Cars by the kerb, and behind the posts and trees of the pavement."""
        if self.parking[side]:
            self.parked_row(side, side * (self.edge[side] - 1.1), 0.0)
        if self.bays[side]:
            self.parked_row(side, side * (self.edge[side] + max(self.verge[side], 1.2) + 1.1), KERB)

    def parked_row(self, side: int, x: float, y: float) -> None:
        g, rng = self.geometry, self.rng
        full = rng.uniform(0.25, 0.92)
        z = rng.uniform(3.0, 9.0)
        yaw = 0.0 if side > 0 else math.pi
        while z < min(self.length - 4, 85):
            clear = all(not a - 6.5 < z < b + 6.5 for a, b in self.crossings)
            clear = clear and all(abs(a - x) > 1.0 + r or abs(b - z) > 2.5 + r for a, b, r in self.taken)
            if clear and rng.random() < full:
                kind = rng.random()
                turn = yaw + (math.pi if rng.random() < 0.1 else 0.0) + rng.normal(0, 0.02)
                if kind < 0.965:
                    g.begin("car", True)
                    with g.place(x + rng.normal(0, 0.1), y, z, turn):
                        vehicles.car(g, rng, _paint(rng))
                elif kind < 0.973:
                    z += 2.2
                    g.begin("truck", True)
                    with g.place(x, y, z, turn, 0.9):
                        vehicles.truck(g, rng, vehicles.livery(rng))
                    z += 2.0
                else:
                    g.begin("caravan" if kind < 0.988 else "trailer", True)
                    with g.place(x, y, z, turn):
                        (vehicles.caravan if kind < 0.988 else vehicles.trailer)(g, rng.uniform(0.5, 0.95) * np.ones(3))
            z += rng.uniform(5.2, 6.4)

    def traffic(self) -> None:
        g, rng = self.geometry, self.rng
        lanes = [(-self.lane * (k + 1), math.pi) for k in range(self.lanes_left)]
        lanes += [(self.lane * k, 0.0) for k in range(self.lanes_right)]
        tram = rng.random() < 0.08
        for x, yaw in lanes:
            own = x == 0.0
            z = rng.uniform(9, 30) if own else rng.uniform(4, 25)
            if tram and x == lanes[0][0]:
                z = rng.uniform(19, 42)
                g.begin("rail track")
                for rail in (-0.75, 0.75):
                    self.flat(
                        x + rail - 0.05, x + rail + 0.05, BEHIND, self.length, 0.006, m.METAL, np.full(3, 0.42), ()
                    )
                g.begin("train", True)
                with g.place(x, 0.0, z, yaw):
                    g.move(f"lane {x:.1f}")
                    vehicles.tram(g, rng, vehicles.livery(rng))
                continue
            density = rng.choice([0.0, 0.25, 0.55], p=[0.3, 0.45, 0.25])
            while z < min(self.length - 12, 95):
                if rng.random() < density + 0.12 * own:
                    kind = rng.random()
                    if kind < 0.865:
                        g.begin("car", True)
                        with g.place(x + rng.normal(0, 0.2), 0.0, z, yaw + rng.normal(0, 0.02)):
                            g.move(f"lane {x:.1f}")
                            vehicles.car(g, rng, _paint(rng), bool(rng.random() < 0.5))
                    elif kind < 0.886:
                        z += 4.0
                        g.begin("truck", True)
                        with g.place(x, 0.0, z, yaw):
                            g.move(f"lane {x:.1f}")
                            vehicles.truck(g, rng, vehicles.livery(rng))
                        z += 3.0
                    elif kind < 0.914:
                        z += 5.5
                        g.begin("bus", True)
                        with g.place(x, 0.0, z, yaw):
                            g.move(f"lane {x:.1f}")
                            vehicles.bus(g, rng, vehicles.livery(rng))
                        z += 4.0
                    else:
                        self.rider(x + rng.normal(0, 0.4), z, yaw, 0.5, f"lane {x:.1f}")
                z += rng.uniform(8, 16)
        for side, yaw in ((-1, math.pi), (1, 0.0)):
            for _ in range(int(rng.choice(3, p=[0.6, 0.28, 0.12]))):
                x = side * (self.edge[side] - 2.2 * self.parking[side] - rng.uniform(0.5, 1.5))
                z = rng.uniform(6, 35)
                if self.free(x, z, 0.6):
                    self.rider(x, z, yaw, 0.1, f"rider {x:.1f}")
        for z0, z1 in self.crossings[:2]:
            if rng.random() < 0.4:
                side = int(rng.choice([-1, 1]))
                x = side * (self.edge[side] + rng.uniform(-1.0, 14))
                g.begin("car", True)
                with g.place(x, 0.0, (z0 + z1) / 2 - side * 1.8, math.pi / 2 * -side):
                    vehicles.car(g, rng, _paint(rng))

    def rider(self, x: float, z: float, yaw: float, motor: float, group: str) -> None:
        g, rng = self.geometry, self.rng
        on_motor = rng.random() < motor
        with g.place(x, 0.0, z, yaw + rng.normal(0, 0.1)):
            g.begin("motorcycle" if on_motor else "bicycle", True)
            g.move(group)
            (vehicles.motorcycle if on_motor else vehicles.bicycle)(g, rng, _paint(rng))
            g.begin("rider", True)
            g.move(group)
            with g.place(0.0, -0.12 if on_motor else 0.0, -0.3):
                people.person(g, rng, "ride")


def make_scene(rng: np.random.Generator) -> Scene:
    """A random street with its light and its camera; all chance comes from `rng`."""
    light = random_weather(rng)
    street = Street(rng)
    street.build()
    bend, slope = float(rng.normal(0, 0.0011)), float(rng.normal(0, 0.00025))
    return Scene(
        mesh=street.geometry.mesh(bend, slope),
        geometry=street.geometry,
        bend=bend,
        slope=slope,
        length=street.length,
        light=light,
        camera_height=rng.uniform(1.1, 1.7),
        pitch=rng.normal(math.radians(-1.2), math.radians(1.2)),
        roll=rng.normal(0, math.radians(0.5)),
        yaw=rng.normal(0, math.radians(2.5)),
        response=random_response(rng),
        bonnet=bool(rng.random() < 0.4),
    )
