"""Which confidence ranks predicted objects best: AP of a run's objects under several.

python benchmarks/confidence.py RUN --data ROOT [--split val] > benchmarks/results/confidence.json

Constant; the mean probability of the class over the object's pixels; the concentration of its votes, the share of its
pixels that vote for a place within 3 px of its centre; and probability times concentration.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multisigma.data.cityscapes import list_frames, read_frame
from multisigma.data.labels import INSTANCE_CLASSES
from multisigma.data.module import image_tensor
from multisigma.data.scene import Scene, cut_instances, truth_of
from multisigma.instances import instances_from_votes
from multisigma.metrics import AveragePrecision
from multisigma.training.environment import describe_environment
from multisigma.training.train import load_module

NEAR = 3.0
THINGS = {label.train_id: label.id for label in INSTANCE_CLASSES}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    module = load_module(arguments.run)
    names = ("constant", "probability", "concentration", "probability times concentration")
    metrics = {name: AveragePrecision() for name in names}
    objects = 0
    for files in list_frames(arguments.data, arguments.split):
        frame = read_frame(files)
        with torch.inference_mode():
            outputs = module(image_tensor(frame)[None])
        probability, semantic = (t[0].numpy() for t in outputs["semantic"].softmax(1).max(1))
        vectors = outputs["instance"][0].numpy()
        found = instances_from_votes(vectors, semantic, list(THINGS))
        objects += len(found.pixels)
        y, x = np.mgrid[: frame.image.shape[0], : frame.image.shape[1]]
        centres = np.concatenate(([[0.0, 0.0]], found.centres))[found.ids]
        near = np.hypot(x + vectors[0] - centres[..., 0], y + vectors[1] - centres[..., 1]) <= NEAR

        def share(values: np.ndarray, ids: np.ndarray = found.ids, pixels: np.ndarray = found.pixels) -> np.ndarray:
            return np.bincount(ids.ravel(), values.ravel(), len(pixels) + 1)[1:] / pixels

        sure, dense = share(probability), share(near)
        for name, confidences in zip(names, (np.ones_like(sure), sure, dense, sure * dense), strict=True):
            scene = Scene(instances=cut_instances(found.ids, [THINGS[c] for c in found.class_ids], confidences))
            metrics[name].update(scene, truth_of(frame))

    computed = {name: metric.compute() for name, metric in metrics.items()}
    result: dict[str, Any] = {name: {key: numbers[key] for key in ("ap", "ap50")} for name, numbers in computed.items()}
    config = {key: getattr(module.config, key) for key in ("encoder", "iterations", "seed")}
    described = {"split": arguments.split, "objects": objects, "run": config, "environment": describe_environment()}
    print(json.dumps(result | described, indent=2))


if __name__ == "__main__":
    main()
