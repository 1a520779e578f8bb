"""Depth of the shipped model with cameras of other focal lengths, on generated streets; and points between objects.

python benchmarks/other_cameras.py [--frames N] > benchmarks/results/other_cameras.json

The focal length of the generator's camera is multiplied by a factor, the rest stays. Depth is measured against the
geometry, over pixels of at most 80 m, in three ways: with the training camera's focal length; with the right one; and
with the right one at the working height at which it equals the training camera's.

For the points between objects, exact disparity is brought to a quarter of its size and back, as networks interpolate.
A point floats if its disparity differs by more than 5 % from all exact ones within two pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma import SceneModel
from multisigma.datasets import Camera
from multisigma.metrics.depth import FARTHEST
from multisigma.models import ScenePrediction, calibrate
from multisigma.synthetic import frames
from multisigma.synthetic.frames import StreetFrame, StreetSettings, make_frame
from multisigma.training.environment import describe_environment
from multisigma.visualization.point_cloud import sight_angles

FACTORS = (0.65, 1.0, 1.5)
ANGLES = (85.0, 87.0, 88.0, 89.0, 89.5)
SETTINGS = StreetSettings(seed=77, matching=False)
POINTS = 5


def metres(disparity: NDArray[np.floating], camera: Camera) -> NDArray[np.floating]:
    """Return depth in metres, infinite where the disparity is 0."""
    with np.errstate(divide="ignore"):
        return np.float32(camera.baseline * camera.fx) / disparity


def errors(scene: ScenePrediction, frame: StreetFrame, factor: float = 1.0) -> tuple[float, float]:
    """Return the median ratio of predicted and true depth, and the mean relative error, over pixels of up to 80 m."""
    true = metres(frame.exact_disparity, frame.camera)
    near = true <= FARTHEST
    ratio = factor * np.minimum(scene["depth"].metres, 10 * FARTHEST)[near] / true[near]
    return float(np.median(ratio)), float(np.abs(ratio - 1).mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4)
    count = parser.parse_args().frames
    model = SceneModel.default()
    assert model.info.camera is not None
    share, angles = frames.FOCAL_SHARE, np.zeros((len(ANGLES), 2))
    rows: list[dict[str, Any]] = []
    floating, steady = 0, 0
    for focal in FACTORS:
        frames.FOCAL_SHARE = focal * share
        found: dict[str, list[tuple[float, float]]] = {}
        measured = []
        rng = np.random.default_rng(0)
        for index in range(count):
            frame = make_frame(SETTINGS, "val", index)
            camera = frame.camera
            scene = model.predict(frame.left, camera)
            same = model.predict(frame.left, camera, round(frame.left.shape[0] / focal))
            wrong = replace(camera, fx=camera.fx / focal)
            found.setdefault("training camera's focal length", []).append(errors(scene, frame, wrong.fx / camera.fx))
            found.setdefault("right focal length", []).append(errors(scene, frame))
            found.setdefault("right focal length, height / factor", []).append(errors(same, frame))
            true = metres(frame.exact_disparity, camera)
            near = np.argwhere((true < 40) & (scene["depth"].disparity > 0))
            row, column = near[rng.integers(len(near))].tolist()
            measured.append((scene, column, row, float(true[row, column]), frame))
            if focal == 1:
                f, s, of_angles = points_between(frame)
                floating, steady, angles = floating + f, steady + s, angles + of_angles
            print(f"{focal}: frame {index}", file=sys.stderr)
        calibration = calibrate([entry[:4] for entry in measured[:POINTS]])
        found[f"calibrated with {min(POINTS, count)} distances"] = [
            errors(scene, frame, calibration.scale) for scene, *_, frame in measured
        ]
        rows.append({"factor": focal, "calibration": calibration.scale, "standard error": calibration.standard_error})
        rows[-1] |= {
            name: {"median ratio": round(float(np.median([r for r, _ in values])), 3),
                   "mean relative error": round(float(np.mean([e for _, e in values])), 3)}
            for name, values in found.items()
        }  # fmt: skip
    frames.FOCAL_SHARE = share
    print(
        json.dumps(
            {
                "environment": describe_environment(),
                "frames": count,
                "focal lengths": rows,
                "points between objects": {
                    "share of all points": round(floating / (floating + steady), 4),
                    "largest angle": [
                        {"degrees": angle, "removed of them": round(f / floating, 3), "of others": round(s / steady, 3)}
                        for angle, (f, s) in zip(ANGLES, angles.tolist(), strict=True)
                    ],
                },
            },
            indent=1,
        )
    )


def points_between(frame: StreetFrame) -> tuple[int, int, NDArray[np.float64]]:
    """Return the number of floating points, of others, and how many of both each largest angle removes."""
    true = np.nan_to_num(frame.exact_disparity)
    height, width = true.shape
    small = cv2.resize(true, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    blurred = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    shown = (blurred > 0) & (metres(blurred, frame.camera) <= FARTHEST)
    padded = np.pad(true, 2, mode="edge")
    shifts = [padded[y : y + height, x : x + width] for y in range(5) for x in range(5)]
    floats = np.min([np.abs(blurred - shifted) for shifted in shifts], 0) > 0.05 * blurred
    angle = sight_angles(blurred, frame.camera.fx)
    removed = [[((angle > a) & shown & floats).sum(), ((angle > a) & shown & ~floats).sum()] for a in ANGLES]
    return int((shown & floats).sum()), int((shown & ~floats).sum()), np.array(removed, np.float64)


if __name__ == "__main__":
    main()
