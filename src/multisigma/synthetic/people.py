# ruff: noqa: RUF005 - `array + list` adds numbers here
"""People who walk, stand and ride.

Things stand at the origin and face +z, metres; `Geometry.place` says where the origin stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic import materials as m
from multisigma.synthetic.shapes import Geometry

Floats = NDArray[np.float64]


SKIN = np.array([[0.94, 0.76, 0.65], [0.85, 0.64, 0.5], [0.62, 0.43, 0.32], [0.4, 0.27, 0.2]])
HAIR = np.array([[0.1, 0.08, 0.07], [0.25, 0.16, 0.1], [0.45, 0.32, 0.18], [0.75, 0.62, 0.4], [0.55, 0.54, 0.53]])


# Most clothes are dark or dull.
CLOTHES = np.array(
    [
        [0.1, 0.1, 0.11], [0.16, 0.16, 0.18], [0.13, 0.16, 0.26], [0.2, 0.24, 0.36], [0.3, 0.3, 0.31],
        [0.45, 0.45, 0.46], [0.33, 0.26, 0.2], [0.55, 0.47, 0.37], [0.4, 0.12, 0.13], [0.25, 0.27, 0.2],
        [0.82, 0.81, 0.79], [0.5, 0.55, 0.62],
    ]
)  # fmt: skip
CLOTHES_SHARE = np.array([0.17, 0.13, 0.12, 0.08, 0.1, 0.07, 0.07, 0.06, 0.05, 0.05, 0.06, 0.04])


def _clothes(rng: np.random.Generator, bright: float) -> Floats:
    """A garment's colour, which is a bright one with probability `bright`."""
    if rng.random() < bright:
        return np.asarray(rng.uniform(0.1, 0.85, 3))
    return np.asarray(CLOTHES[rng.choice(len(CLOTHES), p=CLOTHES_SHARE)] * rng.uniform(0.5, 1.15))


def person(g: Geometry, rng: np.random.Generator, pose: str = "walk") -> None:
    """A person of 1.55 to 1.9 m ("walk" or "stand"), or one sitting on a saddle 0.95 m high ("ride")."""
    skin = SKIN[rng.integers(len(SKIN))]
    hair = HAIR[rng.integers(len(HAIR))]
    coat = _clothes(rng, 0.12)
    jeans = np.array([0.17, 0.21, 0.31]) * rng.uniform(0.6, 1.6)
    legs = jeans if rng.random() < 0.45 else _clothes(rng, 0.04)
    shoe = np.full(3, rng.uniform(0.08, 0.5))
    ride = pose == "ride"
    scale = rng.uniform(0.9, 1.06)
    long_coat = not ride and rng.random() < 0.35
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
