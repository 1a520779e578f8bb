"""Is the exported model the model? Both predict the same images, and every result is compared.

python benchmarks/export_parity.py FOLDER ... [--model RUN] [--frames 20] > benchmarks/results/export_parity.json

Each FOLDER holds images whose width is twice their height. The exported model runs in onnxruntime, and its outputs are
post-processed without torch. For each folder: the share of pixels with the same class, the largest differences of
vectors and disparity, and how many of the objects that either finds have a partner in the other: an object of the same
class with an intersection over union above one half, as panoptic quality matches them. A stricter count takes those
whose pixels are all the same. A relative difference is over the root mean square of the image.

No float32 network is free of rounding errors, so the model is compared with itself too, once with the convolutions of
oneDNN, its default, and once with those of PyTorch.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multisigma import OnnxSceneModel, SceneModel
from multisigma.datasets.frame import Camera
from multisigma.datasets.photographs import find_inputs
from multisigma.models import ScenePrediction
from multisigma.models.export import export_model

Predict = Callable[[Path], ScenePrediction]


def relative(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference over the root mean square."""
    return float(np.abs(found - expected).max() / np.sqrt(np.mean(np.square(expected, dtype=np.float64))))


def objects_found_again(found: ScenePrediction, expected: ScenePrediction) -> tuple[int, int, float]:
    """Return how many objects of one prediction the other has too, how many of them with the same pixels, and the
    largest difference of their scores.
    """
    ids, others, same, equal, difference = found["instance"].ids(), expected["instance"].ids(), 0, 0, 0.0
    for number, instance in enumerate(found["instance"], 1):
        mask = ids == number
        partner = int(np.bincount(others[mask]).argmax())
        overlap = (mask & (others == partner)).sum() / (mask | (others == partner)).sum()
        if partner and overlap > 0.5 and expected["instance"][partner - 1].class_id == instance.class_id:
            same += 1
            equal += int(overlap == 1)
            difference = max(difference, abs(expected["instance"][partner - 1].score - instance.score))
    return same, equal, difference


def compare(found: ScenePrediction, expected: ScenePrediction) -> dict[str, float]:
    """Return the differences of two predictions of an image."""
    there, back = objects_found_again(found, expected), objects_found_again(expected, found)
    return {
        "pixels": found["semantic"].ids.size,
        "pixels of the same class": int((found["semantic"].ids == expected["semantic"].ids).sum()),
        "probability": float(np.abs(found["semantic"].probability - expected["semantic"].probability).max()),
        "vectors, relative": relative(found["instance"].vectors, expected["instance"].vectors),
        "disparity, relative": relative(found["depth"].disparity, expected["depth"].disparity),
        "objects": len(found["instance"]) + len(expected["instance"]),
        "objects found by both": there[0] + back[0],
        "objects with the same pixels": there[1] + back[1],
        "score": max(there[2], back[2]),
    }


def summary(predict: Predict, expect: Predict, paths: list[Path]) -> dict[str, float]:
    """Return the differences of two ways to predict images."""
    rows = [compare(predict(path), expect(path)) for path in paths]
    totals = {key: sum(row[key] for row in rows) for key in rows[0]}
    return {
        "frames": len(rows),
        "pixels of the same class, %": round(100 * totals["pixels of the same class"] / totals["pixels"], 4),
        **{
            f"largest difference of {key}": float(f"{max(row[key] for row in rows):.2g}")
            for key in ("probability", "vectors, relative", "disparity, relative", "score")
        },
        **{key: totals[key] for key in ("objects", "objects found by both", "objects with the same pixels")},
    }


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, help="a run or a saved model; the shipped one if not given")
    parser.add_argument("--frames", type=int, default=20)
    options = parser.parse_args()
    model = SceneModel.load(options.model, "cpu") if options.model else SceneModel.default("cpu")
    camera = Camera(0.2, 300, 300, 256, 128)

    def original(path: Path) -> ScenePrediction:
        return model.predict(path, camera)

    def without_onednn(path: Path) -> ScenePrediction:
        with torch.backends.mkldnn.flags(enabled=False):
            return model.predict(path, camera)

    result: dict[str, Any] = {"packages": {name: version(name) for name in ("torch", "onnxruntime")}}
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        export_model(model, exported, (model.info.working_height, 2 * model.info.working_height))
        other = OnnxSceneModel.load(exported, threads=1)
        for images in options.folders:
            paths = list(find_inputs([images]).values())
            paths = paths[:: max(1, len(paths) // options.frames)][: options.frames]
            result[images.as_posix()] = {
                "exported": summary(lambda path: other.predict(path, camera), original, paths),
                "PyTorch without oneDNN": summary(without_onednn, original, paths),
            }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
