"""Cars, buses, trams, lorries, trailers, bicycles and motorcycles.

Things stand at the origin and face +z, metres; `Geometry.place` says where the origin stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.shapes import Colour, Geometry

Floats = NDArray[np.float64]


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
    "city": [
        (-1.75, 0.36, 0.84, 0.84, 0.7, 0.66), (-1.68, 0.24, 1.0, 1.08, 0.8, 0.68),
        (-1.4, 0.2, 1.0, 1.42, 0.82, 0.62), (-0.3, 0.2, 0.98, 1.52, 0.83, 0.64),
        (0.5, 0.2, 0.97, 1.46, 0.83, 0.62), (1.15, 0.2, 0.96, 0.96, 0.82, 0.78),
        (1.6, 0.22, 0.84, 0.84, 0.79, 0.74), (1.75, 0.34, 0.64, 0.64, 0.7, 0.66),
    ],
    "coupe": [
        (-2.12, 0.36, 0.74, 0.74, 0.76, 0.7), (-2.02, 0.22, 0.92, 0.92, 0.87, 0.8),
        (-1.6, 0.18, 0.95, 0.98, 0.9, 0.76), (-0.7, 0.18, 0.92, 1.26, 0.91, 0.6),
        (0.0, 0.18, 0.89, 1.3, 0.91, 0.61), (0.25, 0.18, 0.88, 1.26, 0.91, 0.6),
        (1.0, 0.18, 0.86, 0.86, 0.9, 0.82), (1.85, 0.2, 0.72, 0.72, 0.86, 0.78),
        (2.12, 0.3, 0.55, 0.55, 0.74, 0.7),
    ],
    "minivan": [
        (-2.2, 0.36, 0.88, 0.88, 0.8, 0.74), (-2.14, 0.24, 1.04, 1.14, 0.9, 0.74),
        (-1.95, 0.22, 1.06, 1.6, 0.92, 0.7), (-0.5, 0.22, 1.04, 1.7, 0.93, 0.72),
        (0.6, 0.22, 1.02, 1.6, 0.93, 0.7), (1.45, 0.22, 1.0, 1.0, 0.92, 0.86),
        (1.95, 0.24, 0.86, 0.86, 0.88, 0.82), (2.2, 0.36, 0.64, 0.64, 0.76, 0.72),
    ],
    "pickup": [
        (-2.55, 0.5, 0.98, 0.98, 0.86, 0.84), (-2.48, 0.4, 1.04, 1.04, 0.92, 0.88),
        (-0.95, 0.34, 1.04, 1.04, 0.93, 0.89), (-0.85, 0.34, 1.06, 1.66, 0.94, 0.72),
        (0.4, 0.34, 1.06, 1.7, 0.94, 0.72), (1.1, 0.34, 1.04, 1.04, 0.93, 0.88),
        (2.2, 0.36, 0.94, 0.94, 0.9, 0.86), (2.5, 0.46, 0.72, 0.72, 0.8, 0.76),
    ],
}  # fmt: skip
CAR_SHARE = {
    "sedan": 0.19, "hatchback": 0.22, "estate": 0.14, "suv": 0.15, "van": 0.09, "city": 0.09, "coupe": 0.04,
    "minivan": 0.06, "pickup": 0.02,
}  # fmt: skip
WHEEL_RADIUS = {"suv": 0.37, "van": 0.34, "pickup": 0.38, "city": 0.29, "hatchback": 0.3}
AXLE = {"hatchback": 1.22, "van": 1.5, "city": 1.1, "pickup": 1.5, "coupe": 1.28}

DARK = (0.1, 0.105, 0.11)
RUBBER = (0.1, 0.1, 0.105)
#: Colours of buses, trams and lorries.
LIVERIES = np.array(
    [
        [0.9, 0.9, 0.89], [0.82, 0.82, 0.8], [0.66, 0.08, 0.08], [0.75, 0.6, 0.12], [0.1, 0.2, 0.45], [0.12, 0.33, 0.2],
        [0.45, 0.46, 0.47], [0.22, 0.23, 0.25], [0.85, 0.83, 0.74], [0.3, 0.5, 0.65],
    ]
)  # fmt: skip


def livery(rng: np.random.Generator) -> Floats:
    """Draw the colour of a large vehicle, of which many are white."""
    k = 0 if rng.random() < 0.35 else int(rng.integers(len(LIVERIES)))
    return np.asarray(LIVERIES[k] * rng.uniform(0.85, 1.05))


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
    g.quads(_shrunk(np.concatenate(windows), 0.1, centre), m.GLASS, DARK, None, (), centre, 0.1)


def wheel(g: Geometry, x: float, z: float, radius: float, half: float = 0.11) -> None:
    """A wheel whose outer face lies at `x`."""
    side = math.copysign(1.0, x)
    g.ellipsoid((x - side * (half - 0.01), radius, z), (half * 1.15, radius * 0.98, radius * 0.98), m.PLAIN, RUBBER)
    r = radius
    face = [[x, 0.0, z - r], [x, 0.0, z + r], [x, 2 * r, z + r], [x, 2 * r, z - r]]
    g.quads([face], m.WHEEL, (0.62, 0.63, 0.65), [[-1, -1], [1, -1], [1, 1], [-1, 1]], (), (0.0, r, z))


def car(g: Geometry, rng: np.random.Generator, paint: Colour, lights: bool = False) -> None:
    """A passenger car of a random body shape, about 3.5 to 5.0 m long."""
    body = str(rng.choice(list(CAR_SHARE), p=list(CAR_SHARE.values())))
    stations = CARS[body]
    axle, radius = AXLE.get(body, 1.36), WHEEL_RADIUS.get(body, 0.32)
    half = stations[3][4]
    rear, front = stations[0][0], stations[-1][0]
    with g.place(0.0, 0.0, 0.0, 0.0, rng.uniform(0.94, 1.06)):
        loft(g, stations, paint, blind=(2, 3) if body == "van" and rng.random() < 0.5 else ())
        for z in (-axle, axle):
            for side in (-1.0, 1.0):
                wheel(g, side * (half + 0.015), z, radius)
                # The arch around the wheel lies in the dark.
                g.ellipsoid((side * (half - 0.1), radius, z), (0.11, 1.2 * radius, 1.2 * radius), m.PLAIN, (0.05,) * 3)
        _rear(g, rng, stations, lights)
        _front(g, rng, stations, lights)
        bumper = DARK if rng.random() < 0.35 else paint
        g.box((0, 0.42, front - 0.1), (1.5, 0.2, 0.26), m.PAINT, bumper)
        g.box((0, 0.45, rear + 0.08), (1.55, 0.24, 0.24), m.PAINT, bumper)
        if rng.random() < 0.6:  # sills and a strip of plastic along the doors
            g.box((0, stations[3][1] + 0.04, 0), (2 * half - 0.03, 0.12, 2 * axle - 0.75), m.PLAIN, DARK)
        if rng.random() < 0.25:
            g.box((0, 0.58, 0), (2 * half + 0.02, 0.05, 2 * axle - 0.75), m.PLAIN, DARK)
        for side in (-1.0, 1.0):
            mirror = DARK if rng.random() < 0.3 else paint
            g.ellipsoid((side * (half + 0.08), 1.0, stations[-3][0] - 0.35), (0.11, 0.08, 0.06), m.PAINT, mirror)
        if body in ("sedan", "estate") and rng.random() < 0.1:
            g.box((0, 1.54, -0.2), (0.5, 0.14, 0.18), m.LAMP, (0.9, 0.75, 0.3), (0.4,))
        elif body in ("estate", "suv", "minivan") and rng.random() < 0.4:  # roof rails
            for side in (-1.0, 1.0):
                y = stations[3][3] + 0.02
                g.tube((side * 0.55, y, -1.3), (side * 0.55, y, 0.2), 0.025, m.METAL, (0.3, 0.3, 0.31), 4)
        length = front - 0.1
        g.quads([[[-0.8, 0.2, -length], [0.8, 0.2, -length], [0.8, 0.2, length], [-0.8, 0.2, length]]], m.PLAIN, DARK)


def _rear(g: Geometry, rng: np.random.Generator, stations: Sequence[Station], lights: bool) -> None:
    """Tail lamps of one of three forms, and the number plate."""
    z, belt = stations[1][0] - 0.03, stations[1][2]
    half = stations[1][4]
    tall, wide = [(0.13, 0.3), (0.3, 0.14), (0.2, 0.2)][int(rng.integers(3))]
    colour, glow = (0.5, 0.04, 0.04), (0.9 if lights else 0.1)
    for side in (-1.0, 1.0):
        g.box((side * (half - wide / 2), belt - 0.08 - tall / 2, z), (wide, tall, 0.12), m.LAMP, colour, (glow,))
    plate = (0.75, 0.62, 0.15) if rng.random() < 0.3 else (0.8, 0.8, 0.78)
    y = 0.48 if rng.random() < 0.5 else 0.75
    g.quads([_upright(0.0, y, stations[0][0] - 0.06, 0.26, 0.055)], m.PLAIN, plate)


def _front(g: Geometry, rng: np.random.Generator, stations: Sequence[Station], lights: bool) -> None:
    """Headlamps, grille and number plate."""
    z, half, y = stations[-1][0], stations[-2][4], stations[-1][2] - 0.02
    wide = rng.uniform(0.12, 0.2)
    glow = 2.3 if lights else 0.05
    for side in (-1.0, 1.0):
        centre = (side * (half - wide - 0.03), y + 0.03, z - 0.1)
        g.ellipsoid(centre, (wide, rng.uniform(0.07, 0.1), 0.14), m.LAMP, (0.75, 0.77, 0.78), (glow,))
    g.box((0, y, z - 0.02), (rng.uniform(0.6, 1.0), rng.uniform(0.08, 0.18), 0.08), m.PLAIN, (0.05, 0.05, 0.055))
    g.box((0, 0.3, z - 0.06), (1.1, 0.1, 0.22), m.PLAIN, (0.05, 0.05, 0.055))
    g.quads([_upright(0.0, 0.44, z + 0.045, 0.26, 0.055)], m.PLAIN, (0.8, 0.8, 0.78))


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
    g.box((0, 0.75, 0), (2.55, 0.25, length - 0.8), m.PAINT, livery(rng))
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
    second = livery(rng)
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
    load = livery(rng)
    middle, bed = -1.1, length - 2.4
    kind = rng.random()
    if kind < 0.65:
        tall = rng.uniform(2.2, 2.6)
        g.box((0, 1.0 + tall / 2, middle), (2.45, tall, bed), m.STRIPES, load, (1.1, 0.06))
        stripe = livery(rng)
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
