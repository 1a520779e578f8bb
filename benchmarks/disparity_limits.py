"""How much of a model's disparity error comes from errors of the labels.

    multisigma generate UNSEEN --train 0 --val 40 --size 256x512 --seed 9901
    multisigma generate SEEN --train 40 --val 0 --size 256x512 --seed 400      # of the packaged model's own training
    python benchmarks/disparity_limits.py UNSEEN:val SEEN:train [--model RUN] > benchmarks/results/disparity_limits.json

Each argument is a generated root and a split of it. The labels of generated streets come from stereo matching, as those
of Cityscapes do, and the root has the exact disparity too. Three errors are measured: the model's against the labels;
the exact disparity's against the labels, which no model can be expected to beat; and the model's against the exact
disparity. Each is `disparity_native_error_px` of `multisigma evaluate`, over the pixels that have both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from multisigma import SceneModel
from multisigma.datasets import Disparity
from multisigma.datasets.cityscapes.layout import KINDS
from multisigma.datasets.cityscapes.reading import read_disparity
from multisigma.datasets.open import open_dataset
from multisigma.datasets.scene import PredictedDisparity
from multisigma.metrics import Counts, DepthErrors
from multisigma.training.environment import describe_environment


def measure(model: SceneModel, root: Path, split: str) -> dict[str, float]:
    """Return the three errors over a split, in pixels at a width of 2048."""
    dataset, metric = open_dataset(root, split), DepthErrors()
    counts: dict[str, list[Counts]] = defaultdict(list)
    for i in range(len(dataset)):
        frame = dataset.read(i)
        label = frame.fields["disparity"]
        assert isinstance(label, Disparity)
        exact = read_disparity(KINDS["disparity_exact"].path(root, split, frame.name))
        both = ~np.isnan(label.values) & ~np.isnan(exact)
        labelled, true = (
            replace(frame, fields={**frame.fields, "disparity": Disparity(np.where(both, values, np.float32(np.nan)))})
            for values in (label.values, exact)
        )
        found = model.predict(frame.image)
        # Sky, whose disparity is 0, has no exact value in the file.
        geometry = {"depth": PredictedDisparity(np.nan_to_num(exact))}
        counts["model against labels"].append(metric.count(found, labelled))
        counts["exact against labels"].append(metric.count(geometry, labelled))
        counts["model against exact"].append(metric.count(found, true))
    return {
        name: round(m.value, 3)
        for name, of_frames in counts.items()
        for m in metric.summarise(of_frames)
        if m.key == "disparity_native_error_px"
    }


def main() -> None:
    """Measure each root and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", help="ROOT:SPLIT")
    parser.add_argument("--model", type=Path, help="the packaged model if not given")
    arguments = parser.parse_args()
    model = SceneModel.load(arguments.model, "cpu") if arguments.model else SceneModel.default("cpu")
    results = {}
    for argument in arguments.roots:
        root, split = argument.rsplit(":", 1)
        results[argument] = measure(model, Path(root), split)
    json.dump({"errors in px": results, "environment": describe_environment()}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
