"""Videos: how well objects keep their identity, and how much depth flickers, on generated streets that a camera drives
through.

python benchmarks/video.py --cache DIR --out benchmarks/results/video.json

The identity of each object and the depth of each pixel are known. Identities are compared for the tracker and for two
plain rules: the order of the objects in the frame, and the largest overlap with the objects of the frame before. Depth
is compared with and without steadying. Flicker is the mean change of the error of log depth at one still point of the
world from a frame to the next; a jump is a change above 10 %.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.scene import SceneInstance, cut_instances
from multisigma.files import write_text
from multisigma.metrics.tracking import TrackingFrame, TrackingScores, tracking_scores
from multisigma.synthetic import StreetFrame, StreetSettings, make_sequence
from multisigma.synthetic.frames import _turn
from multisigma.tracking import DepthSteadier, Tracker

# Smaller true objects are neither counted nor count what finds them as false.
LEAST_PIXELS = 100


class Seen:
    """An object, true or predicted, as the tracker takes it."""

    def __init__(self, region: SceneInstance, centre: tuple[float, float], identity: int = 0) -> None:
        self.region, self.centre, self.identity = region, centre, identity


def true_objects(frame: StreetFrame) -> list[Seen]:
    """Return the objects of a frame with the centroids of their pixels."""
    identities = np.unique(frame.instances[frame.instances >= 1000]).tolist()
    numbers = np.searchsorted([0, *identities], np.where(frame.instances >= 1000, frame.instances, 0))
    found = []
    for region in cut_instances(numbers, [i // 1000 for i in identities], [1.0] * len(identities)):
        rows, columns = np.nonzero(region.mask)
        centre = float(columns.mean() + region.left), float(rows.mean() + region.top)
        identity = int(frame.instances[rows[0] + region.top, columns[0] + region.left])
        found.append(Seen(region, centre, identity))
    return found


def overlaps(true: Sequence[Seen], found: Sequence[Seen]) -> NDArray[np.float64]:
    from multisigma.tracking.tracker import _iou

    return np.array([[_iou(t.region, p.region, 0, 0) for p in found] for t in true]).reshape(len(true), len(found))


class Order:
    """The plainest rule: the number of an object is its place in the list."""

    def update(self, objects: Sequence[Seen]) -> list[int]:
        return list(range(1, len(objects) + 1))


class Overlap:
    """The object of the frame before with the largest intersection over union, largest first."""

    def __init__(self) -> None:
        self.before: list[tuple[int, Seen]] = []
        self.last = 0

    def update(self, objects: Sequence[Seen]) -> list[int]:
        table = overlaps([seen for _, seen in self.before], objects)
        numbers = [0] * len(objects)
        for place in np.argsort(-table, axis=None):
            row, column = divmod(int(place), max(len(objects), 1))
            if table[row, column] <= 0:
                break
            if not numbers[column] and self.before[row][0] not in numbers:
                numbers[column] = self.before[row][0]
        for i, number in enumerate(numbers):
            if not number:
                self.last += 1
                numbers[i] = self.last
        self.before = list(zip(numbers, objects, strict=True))
        return numbers


def identity_scores(
    truth: Sequence[Sequence[Seen]], found: Sequence[Sequence[Seen]], rule: Tracker | Order | Overlap
) -> TrackingScores:
    frames = []
    for true, objects in zip(truth, found, strict=True):
        numbers = np.array(rule.update(objects), int)
        table = overlaps(true, objects)
        small = np.array([np.count_nonzero(seen.region.mask) < LEAST_PIXELS for seen in true], bool)
        of_small = (table[small] >= 0.5).any(0) if small.any() else np.zeros(len(objects), bool)
        tiny = np.array([np.count_nonzero(seen.region.mask) < LEAST_PIXELS for seen in objects], bool)
        hits = (table[~small] >= 0.5).any(0) if (~small).any() else np.zeros(len(objects), bool)
        kept = hits | ~(of_small | tiny)
        true_kept = [seen.identity for seen, leave in zip(true, small, strict=True) if not leave]
        frames.append(TrackingFrame(true_kept, numbers[kept].tolist(), table[~small][:, kept]))
    return tracking_scores(frames)


def errors_of_still_points(
    before: StreetFrame, frame: StreetFrame, errors: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the errors of the still points that both frames show, before and after."""
    camera = frame.camera
    still = (frame.instances < 1000) & np.isfinite(frame.exact_disparity) & (frame.labels > 3)
    rows, columns = np.nonzero(still)
    depth = camera.fx * camera.baseline / frame.exact_disparity[rows, columns]
    rays = np.stack([(columns - camera.u0) / camera.fx, (rows - camera.v0) / camera.fy, np.ones(len(rows))])
    world = _turn(frame.pitch, frame.roll, frame.yaw) @ (rays * depth) + frame.position[:, None]
    seen = _turn(before.pitch, before.roll, before.yaw).T @ (world - before.position[:, None])
    z = np.maximum(seen[2], 0.1)
    x = np.rint(camera.fx * seen[0] / z + camera.u0).astype(int)
    y = np.rint(camera.fy * seen[1] / z + camera.v0).astype(int)
    height, width = still.shape
    inside = (seen[2] > 1) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y, z, rows, columns = x[inside], y[inside], z[inside], rows[inside], columns[inside]
    expected = camera.fx * camera.baseline / z
    shown = np.isclose(before.exact_disparity[y, x], expected, rtol=0.03, atol=0.02) & (before.instances[y, x] < 1000)
    return errors[0][y[shown], x[shown]], errors[1][rows[shown], columns[shown]]


def depth_scores(frames: Sequence[StreetFrame], disparities: Sequence[NDArray[np.float32]]) -> dict[str, list[float]]:
    """Return means of each frame: flicker in %, jumps per 100 frames, and errors in pixels."""
    least = 0.002 * frames[0].camera.fx
    errors = [
        np.log(np.maximum(d, least) / np.maximum(f.exact_disparity, least))
        for f, d in zip(frames, disparities, strict=True)
    ]
    scores: dict[str, list[float]] = {"flicker_percent": [], "jumps_per_100": [], "error_px": [], "object_error_px": []}
    for i, (frame, disparity) in enumerate(zip(frames, disparities, strict=True)):
        known = np.isfinite(frame.exact_disparity) & (frame.labels > 3)
        error = np.abs(disparity - frame.exact_disparity)
        scores["error_px"].append(float(error[known].mean()))
        on_objects = known & (frame.instances >= 1000)
        if on_objects.any():
            scores["object_error_px"].append(float(error[on_objects].mean()))
        if i:
            before, after = errors_of_still_points(frames[i - 1], frame, errors[i - 1 : i + 1])
            change = np.abs(after - before)
            scores["flicker_percent"].append(float(100 * change.mean()))
            scores["jumps_per_100"].append(float(100 * (change > 0.1).mean()))
    return scores


def prediction(model: Any, frames: Sequence[StreetFrame]) -> list[dict[str, Any]]:
    """Return what the comparisons need of the model's predictions."""
    kept = []
    for scene in model.predict_all(frame.left for frame in frames):
        objects = [Seen(instance.region, instance.centre) for instance in scene["instance"]]
        kept.append({"ids": scene["semantic"].ids, "disparity": scene["depth"].disparity, "objects": objects})
    return kept


def cached(path: Path, make: Callable[[], Any]) -> Any:
    """Return what a file holds, or make it and keep it."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())


def steadied(frames: Sequence[StreetFrame], seen: Sequence[dict[str, Any]], track: bool) -> list[NDArray[np.float32]]:
    steadier, tracker, found = DepthSteadier(), Tracker(), []
    for frame, of_frame in zip(frames, seen, strict=True):
        labels = -of_frame["ids"].astype(np.int32)
        numbers = tracker.update(of_frame["objects"]) if track else range(1, len(of_frame["objects"]) + 1)
        for number, seen_object in zip(numbers, of_frame["objects"], strict=True):
            region = seen_object.region
            rows, columns = region.mask.shape
            labels[region.top : region.top + rows, region.left : region.left + columns][region.mask] = number
        found.append(steadier.update(frame.left, of_frame["disparity"], labels))
    return found


def _drive(settings: StreetSettings, index: int, frames: int) -> list[StreetFrame]:
    return list(make_sequence(settings, "val", index, frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for generated sequences and predictions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=None, help="the shipped one if not given")
    parser.add_argument("--sequences", type=int, default=6)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--seed", type=int, default=700)
    options = parser.parse_args()
    settings = StreetSettings(256, 512, options.seed, matching=False)
    model: Any = None
    rules: dict[str, Callable[[], Tracker | Order | Overlap]] = {
        "tracker": Tracker,
        "overlap": Overlap,
        "order": Order,
    }
    identity: dict[str, dict[str, TrackingScores]] = {}
    shown: dict[str, int] = {}
    depth: dict[str, dict[str, list[float]]] = {}
    begin, count = time.process_time(), 0
    for index in range(options.sequences):
        key = f"{options.seed}-{index}-{options.frames}"
        frames = cached(
            options.cache / f"frames-{key}.pkl",
            partial(_drive, settings, index, options.frames),
        )

        def predict(frames: Sequence[StreetFrame] = frames) -> list[dict[str, Any]]:
            nonlocal model
            if model is None:
                from multisigma import SceneModel

                model = SceneModel.load(options.model) if options.model else SceneModel.default("cpu")
            return prediction(model, frames)

        seen = cached(options.cache / f"{(options.model or Path('shipped')).name}-{key}.pkl", predict)
        count += len(frames)
        truth = [true_objects(frame) for frame in frames]
        large = [[s for s in seen if np.count_nonzero(s.region.mask) >= LEAST_PIXELS] for seen in truth]
        for kind, found in (("model", [of_frame["objects"] for of_frame in seen]), ("truth", large)):
            for rate, step in (("17 Hz", 1), ("5.7 Hz", 3)):
                key = f"{kind}, {rate}"
                shown[key] = shown.get(key, 0) + len(truth[::step])
                scores_by_rule = identity.setdefault(key, {})
                for name, rule in rules.items():
                    scores = identity_scores(truth[::step], found[::step], rule())
                    scores_by_rule[name] = scores_by_rule[name] + scores if name in scores_by_rule else scores
        variants = {
            "frame by frame": [of_frame["disparity"] for of_frame in seen],
            "steadied": steadied(frames, seen, track=False),
            "steadied, with tracker": steadied(frames, seen, track=True),
        }
        for name, disparities in variants.items():
            for measure, values in depth_scores(frames, disparities).items():
                depth.setdefault(name, {}).setdefault(measure, []).extend(values)
        print(f"{index + 1} of {options.sequences} sequences", flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "sequences": options.sequences,
        "frames": count,
        "size": "256x512",
        "seed": options.seed,
        "model": str(options.model or "shipped"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, shared with other work",
        "commit": commit.stdout.strip(),
        "processor_seconds": round(time.process_time() - begin, 1),
        "identity": {
            kind: {
                name: {
                    "switches_per_100_frames": round(100 * scores.switches / shown[kind], 1),
                    "switches": scores.switches,
                    "matches": scores.matches,
                    "mota": round(scores.mota, 3),
                    "idf1": round(scores.idf1, 3),
                }
                for name, scores in by_rule.items()
            }
            for kind, by_rule in identity.items()
        },
        "depth": {
            name: {measure: round(float(np.mean(values)), 3) for measure, values in measures.items()}
            for name, measures in depth.items()
        },
    }
    write_text(options.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
