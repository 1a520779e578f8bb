"""What limits a model's disparity error: the labels, or the model?

python benchmarks/disparity_limits.py UNSEEN:val SEEN:train [--model RUN] [--frames 40] \
    > benchmarks/results/disparity_limits.json

    multisigma generate UNSEEN --train 0 --val 40 --size 256x512 --seed 9901
    multisigma generate SEEN --train 40 --val 0 --size 256x512 --seed 300      # of the packaged model's own training

Each argument is a generated root and a split of it. The labels of generated streets come from stereo matching, as those
of Cityscapes do, and the root has the exact disparity too. So beside the model's error against the labels stand the
exact disparity's own error against them, which no model can be expected to beat, and the model's error against the
exact disparity. All are mean absolute errors in pixels at a width of 2048, over pixels with a label; the sky's
disparity is 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multisigma import SceneModel
from multisigma.datasets import Disparity, decode_disparity, read_png
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.fields import ClassMap
from multisigma.datasets.open import open_dataset
from multisigma.training.environment import describe_environment

NATIVE_WIDTH = 2048


def native_error(one: NDArray[np.floating], other: NDArray[np.floating], valid: NDArray[np.bool_]) -> float:
    """Return the mean absolute error, in pixels at the native width."""
    return NATIVE_WIDTH / one.shape[1] * float(np.abs(one - other)[valid].mean())


def measure(model: SceneModel, root: Path, split: str, frames: int) -> dict[str, float]:
    """Return the mean over frames of the three errors."""
    dataset: SceneDataset = open_dataset(root, split)
    errors = []
    for i in range(min(frames, len(dataset))):
        frame = dataset.read(i)
        classes, labels = frame.get("semantic", ClassMap), frame.get("disparity", Disparity)
        if classes is None or labels is None:
            raise SystemExit(f"{root}, {dataset.name(i)}: needs classes and disparity.")
        sky = classes.ids == dataset.labels.sky
        (path,) = (root / "disparity_exact" / split).glob(f"*/{dataset.name(i)}_disparity.png")
        label, exact = (
            np.where(sky, 0.0, labels.values),
            np.where(sky, 0.0, decode_disparity(read_png(path, "16-bit grey"))),
        )
        valid = ~np.isnan(label) & ~np.isnan(exact)
        found = model.predict(frame.image)["depth"].disparity
        errors.append([native_error(*pair, valid) for pair in ((found, label), (exact, label), (found, exact))])
    names = ("model against labels", "exact against labels", "model against exact")
    return {"frames": len(errors)} | {
        name: round(value, 3) for name, value in zip(names, np.mean(errors, 0).tolist(), strict=True)
    }


def main() -> None:
    """Measure each root and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", help="ROOT:SPLIT")
    parser.add_argument("--model", type=Path, help="the packaged model if not given")
    parser.add_argument("--frames", type=int, default=40)
    arguments = parser.parse_args()
    model = SceneModel.load(arguments.model, "cpu") if arguments.model else SceneModel.default("cpu")
    results = {}
    for argument in arguments.roots:
        root, split = argument.rsplit(":", 1)
        results[argument] = measure(model, Path(root), split, arguments.frames)
    json.dump({"errors in px": results, "environment": describe_environment()}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
