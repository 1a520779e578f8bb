"""Our evaluation against the official scripts on the same frames: processor time for each frame, on one core.

python benchmarks/evaluation.py [--frames 8] [--instances 30] [--seed 0] > benchmarks/results/evaluation.json

Frames are generated at 1024x2048; predictions are the truth, moved and frayed. The scripts run in an environment of
their own, made from the package index, in turn with ours, frame by frame. From arrays means that nothing is read.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np

from multisigma.datasets.cityscapes import FrameFiles, read_frame
from multisigma.datasets.fields import ClassMap, InstanceMap, instance_centroids
from multisigma.datasets.frame import Frame
from multisigma.datasets.images import read_png, write_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.predictions import PredictionFiles, inspect_prediction, write_predictions
from multisigma.datasets.scene import PredictedClasses, PredictedInstances, cut_instances
from multisigma.metrics import AveragePrecision, IoU, Metric
from multisigma.synthetic import StreetSettings, make_frame
from multisigma.training.environment import describe_environment

HEIGHT, WIDTH = 1024, 2048
# Of person, rider, car, truck, bus, train, motorcycle and bicycle, about as in Cityscapes, where most objects are cars
# and persons: the scripts compare objects of the same class alone.
FREQUENCIES = (0.35, 0.03, 0.51, 0.01, 0.01, 0.005, 0.015, 0.07)
REQUIREMENTS = ("cityscapesscripts==2.3.*", "numpy<2.3")


def make_truth(seed: int, index: int, instances: int) -> Frame:
    """A generated frame with at least so many objects: those of others are laid over it at random places."""
    rng = np.random.default_rng([seed, index])
    frame = make_frame(StreetSettings(HEIGHT, WIDTH, seed, matching=False), "val", index)
    ids = frame.instances.copy()
    own = [i for i in np.unique(ids) if i >= 1000]
    for number in range(len(own), instances):
        label = CITYSCAPES.instance_classes[int(rng.choice(len(CITYSCAPES.instance_classes), p=FREQUENCIES))]
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        cy, cx, ry, rx = rng.uniform(300, 800), rng.uniform(0, WIDTH), rng.uniform(10, 90), rng.uniform(10, 130)
        ids[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = label.id * 1000 + 500 + number
    labels = np.where(ids < 1000, ids, ids // 1000).astype(np.uint8)
    centroids = instance_centroids(ids, CITYSCAPES.instance_ids)
    return Frame(
        f"lindenau_{index:06d}_000019", {"semantic": ClassMap(labels), "instance": InstanceMap(ids, centroids)}
    )


def maps(truth: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Label ids and instance ids."""
    semantic, instance = truth.get("semantic", ClassMap), truth.get("instance", InstanceMap)
    assert semantic is not None
    assert instance is not None
    return semantic.ids, instance.ids


def predict(truth: Frame, seed: int) -> tuple[np.ndarray, np.ndarray, list[int], list[float]]:
    """Label ids, a map of objects, and their classes and confidences: the truth, moved and frayed."""
    ids_of = maps(truth)
    rng = np.random.default_rng(seed)
    step = (int(rng.integers(-3, 4)), int(rng.integers(-3, 4)))
    labels, instances = (np.roll(array, step, (0, 1)) for array in ids_of)
    noise = np.kron(rng.random((HEIGHT // 4, WIDTH // 4)) < 0.03, np.ones((4, 4), bool))
    labels = np.where(noise, np.roll(labels, 40, 1), labels)
    ids = [int(i) for i in np.unique(instances) if i >= 1000]
    place = np.zeros(65536, np.int32)
    place[ids] = np.arange(1, len(ids) + 1)
    objects = np.where(noise, 0, place[instances])
    return labels, objects, [i // 1000 for i in ids], rng.random(len(ids)).tolist()


def timed(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def from_files(truth: FrameFiles, predictions: PredictionFiles, root: Path, metric: Metric) -> None:
    """What evaluation of files does for a frame, for one metric alone."""
    true = read_frame(truth, ["semantic", "instance"])
    scene, faults = inspect_prediction(predictions, root, (HEIGHT, WIDTH))
    assert not faults
    assert metric.count(scene, true)


def our_parts(
    root: Path, truth: Frame, scene: dict[str, Any], objects: tuple[np.ndarray, list[int], list[float]]
) -> dict[str, Callable[[], object]]:
    """What is timed on our side for a frame, whose files stand in `root`."""
    semantic, listed = root / "semantic" / f"{truth.name}_labelIds.png", root / "instance" / f"{truth.name}.txt"
    labels, instances = (root / f"{truth.name}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds"))
    both = FrameFiles(truth.name, "lindenau", "val", labels, labels, instances, None, None)
    one = FrameFiles(truth.name, "lindenau", "val", labels, None, instances, None, None)
    pixel, instance = PredictionFiles(truth.name, semantic), PredictionFiles(truth.name, None, listed)
    return {
        "pixel rules, from files": lambda: from_files(both, pixel, root, IoU(CITYSCAPES)),
        "pixel rules, from arrays": lambda: IoU(CITYSCAPES).count(scene, truth),
        "instance rules, from files": lambda: from_files(one, instance, root, AveragePrecision(CITYSCAPES)),
        "instance rules, from arrays": lambda: AveragePrecision(CITYSCAPES).count(
            {"instance": PredictedInstances(cut_instances(*objects))}, truth
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--instances", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.frames, arguments.instances, arguments.seed)
    print(json.dumps(vars(arguments) | {"size": f"{HEIGHT}x{WIDTH}", "cores": 1} | result, indent=2))


def measure(folder: Path, frames: int, instances: int, seed: int) -> dict[str, Any]:
    """Seconds of processor time for each frame, and ratios."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    python = folder / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env")], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS], check=True)
    freeze = [uv, "pip", "freeze", "--python", str(python)]
    versions = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout.split()
    official = subprocess.Popen(
        [str(python), str(Path(__file__).with_name("official_evaluation.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert official.stdin
    assert official.stdout
    seconds: dict[str, list[float]] = defaultdict(list)
    profile = cProfile.Profile()
    objects = []
    for index in range(frames + 1):
        truth = make_truth(seed, index, instances)
        labels, ids, class_ids, confidences = predict(truth, index)
        objects.append(len(class_ids))
        root = folder / str(index)
        root.mkdir()
        paths = [root / f"{truth.name}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds")]
        write_png(paths[0], maps(truth)[0])
        write_png(paths[1], maps(truth)[1].astype(np.uint16))
        regions = cut_instances(ids, class_ids, confidences)
        scene = {"semantic": PredictedClasses(labels), "instance": PredictedInstances(regions)}
        write_predictions(root, truth.name, scene, (HEIGHT, WIDTH))
        semantic, listed = root / "semantic" / f"{truth.name}_labelIds.png", root / "instance" / f"{truth.name}.txt"

        names = ("labels", "instances", "semantic", "list", "root")
        values = map(str, (*paths, semantic, listed, root))
        official.stdin.write(json.dumps(dict(zip(names, values, strict=True))) + "\n")
        official.stdin.flush()
        theirs = json.loads(official.stdout.readline())

        ours = our_parts(root, truth, scene, (ids, class_ids, confidences))
        if index == 0:
            for call in ours.values():
                call()  # compiles; the scripts' first frame does not count either
            continue
        for name, value in theirs.items():
            seconds[f"official {name}"].append(value)
        for name, call in ours.items():
            seconds[f"our {name}"].append(timed(call))
        profile.enable()
        ours["instance rules, from files"]()
        ours["pixel rules, from files"]()
        profile.disable()
    official.stdin.close()
    official.wait()
    mask = next((root / "instance" / "masks").glob("*.png"))
    content = np.frombuffer(mask.read_bytes(), np.uint8)
    decoders = {"OpenCV": lambda: cv2.imdecode(content, cv2.IMREAD_UNCHANGED), "ours": lambda: read_png(mask, "grey")}
    decoded = {name: round(mean(timed(call) for _ in range(20)), 5) for name, call in decoders.items()}

    stats = pstats.Stats(profile)
    total = stats.total_tt  # type: ignore[attr-defined]
    # (file, line, function) -> calls, calls, seconds in itself, seconds, callers.
    own = sorted(((v[2], key[2]) for key, v in stats.stats.items()), reverse=True)  # type: ignore[attr-defined]
    decoding = sum(v[3] for key, v in stats.stats.items() if key[2] in ("_decode_grey", "_pixel_data"))  # type: ignore[attr-defined]
    means = {name: mean(values) for name, values in seconds.items()}

    def ratio(theirs: str, ours: str) -> float:
        return round(means[f"official {theirs}"] / means[f"our {ours}"], 1)

    return {
        "objects for each frame": round(mean(objects), 1),
        "seconds of processor time for each frame": {name: round(value, 4) for name, value in means.items()},
        "times faster": {
            "instance matching, from arrays": ratio(
                "instance script's matching, from arrays", "instance rules, from arrays"
            ),
            "instance, from files": ratio("instance script, from files", "instance rules, from files"),
            "pixel, from files": ratio("pixel script, from files", "pixel rules, from files"),
        },
        "share of PNG decoding in ours from files": round(decoding / total, 3),
        "seconds to decode a mask": decoded,
        "largest shares in ours from files, by function": {name: round(value / total, 3) for value, name in own[:8]},
        "environment": describe_environment(),
        "official environment": [v for v in versions if v.split("==")[0] in ("cityscapesscripts", "numpy", "pillow")],
    }


if __name__ == "__main__":
    main()
