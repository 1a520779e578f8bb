"""A drive through a street: where the camera and all that moves are, frame by frame.

Speeds are constant. Legs do not move, and nobody makes way for anybody. If people cross the road, camera and traffic
stand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multisigma.synthetic.scene import Scene

Floats = NDArray[np.float64]

#: Frames per second, that of the Cityscapes sequences.
RATE = 17
# The far end of a street stays at least this far away, metres.
_LEAST_AHEAD = 45.0


@dataclass(frozen=True)
class Moment:
    """Camera and objects at one time.

    Args:
        position: Position of the camera, world axes, metres; shape (3,).
        pitch: Upward tilt of the camera, radians.
        roll: Tilt to the side, radians.
        yaw: Turn to the right, radians.
        shifts: How far each object has moved, before the street is bent, metres; shape (objects, 3).
    """

    position: Floats
    pitch: float
    roll: float
    yaw: float
    shifts: Floats


def drive(scene: Scene, frames: int, rng: np.random.Generator) -> list[Moment]:
    """Return the moments of a drive. The first one is the scene as it stands.

    Args:
        scene: The street.
        frames: The number of moments, `1 / RATE` seconds apart.
        rng: Draws the speeds, and how the camera sways.
    """
    motions = scene.geometry.motions
    stands = any(motion.group == "cross" for motion in motions.values())
    seconds = max(frames - 1, 1) / RATE
    ahead = max(scene.length - _LEAST_AHEAD, 5.0)
    own = 0.0 if stands else min(float(rng.uniform(3.0, 10.0)), ahead / seconds)
    speeds: dict[str, float] = {}
    velocities = np.zeros((len(scene.mesh.object_label), 3))
    for index, motion in sorted(motions.items()):
        if motion.group not in speeds or motion.group in ("walk", "cross"):
            speeds[motion.group] = _speed(motion.group, motion.z, own, stands, rng)
        velocities[index] = speeds[motion.group] * np.array([motion.x, 0.0, motion.z])
    # The car sways slowly and by little.
    sizes, rates, phases = rng.uniform(0.0, 0.0025, 2), rng.uniform(3.0, 8.0, 2), rng.uniform(0, 2 * math.pi, 2)
    moments = []
    for time in np.arange(frames) / RATE:
        way = own * float(time)
        sway = sizes * (np.sin(rates * time + phases) - np.sin(phases)) * (own > 0)
        position = np.array([scene.bend * way**2 / 2, scene.camera_height + scene.slope * way**2 / 2, way])
        moments.append(
            Moment(
                position=position,
                pitch=scene.pitch + math.atan(scene.slope * way) + float(sway[0]),
                roll=scene.roll + float(sway[1]),
                yaw=scene.yaw + math.atan(scene.bend * way),
                shifts=velocities * time,
            )
        )
    return moments


def _speed(group: str, z: float, own: float, stands: bool, rng: np.random.Generator) -> float:
    """Draw the speed of a group, metres per second."""
    if group in ("walk", "cross"):
        return float(rng.uniform(0.8, 1.6))
    if group.startswith("rider"):
        return float(rng.uniform(2.5, 6.0)) * (not stands)
    if stands:
        return 0.0
    if group == "lane 0.0":  # the camera's own lane keeps its distance
        return own + float(rng.uniform(0.0, 1.0))
    if z < 0:
        return float(rng.uniform(4.0, 11.0))
    return max(own + float(rng.uniform(-2.0, 3.0)), 1.0)
