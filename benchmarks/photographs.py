"""How well a model reads photographs that are labelled with the 11 classes of CamVid.

python benchmarks/photographs.py MODEL FOLDER [--height H]

FOLDER is in the layout of the SegNet tutorial: `images/` has the photographs, `labels/` an 8-bit PNG of the same name
for each (Brostow, Fauqueur and Cipolla, 2009). The model's Cityscapes classes are joined to these 11. Prints JSON: the
share of right pixels, the mean IoU, and the IoU of each class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from multisigma import SceneModel
from multisigma.datasets.images import read_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.training.environment import describe_environment

CLASSES = {
    "sky": ["sky"],
    "building": ["building", "wall"],
    "pole": ["pole"],
    "road": ["road"],
    "pavement": ["sidewalk"],
    "tree": ["vegetation", "terrain"],
    "sign": ["traffic light", "traffic sign"],
    "fence": ["fence"],
    "car": ["car", "truck", "bus", "train"],
    "pedestrian": ["person"],
    "bicyclist": ["rider", "motorcycle", "bicycle"],
}
UNLABELLED = len(CLASSES)


def confusion(model: SceneModel, folder: Path, height: int | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Count pixels by true class (rows) and predicted class (columns); the last column is of other classes."""
    ids = {label.name: label.id for label in CITYSCAPES.classes}
    table = np.full(256, UNLABELLED)
    for i, names in enumerate(CLASSES.values()):
        table[[ids[name] for name in names]] = i
    counts = np.zeros((UNLABELLED, UNLABELLED + 1), np.int64)
    for path in sorted((folder / "images").iterdir()):
        labels = read_png(folder / "labels" / path.name, "8-bit grey")
        semantic = cast(Any, model.predict(path, height=height)["semantic"])
        predicted = table[semantic.ids]
        known = labels < UNLABELLED
        np.add.at(counts, (labels[known], predicted[known]), 1)
    return counts


def summary(model: SceneModel, folder: Path, height: int | None) -> dict[str, Any]:
    """Return the number of photographs, the share of right pixels, the mean IoU, and the IoU of each class."""
    counts = confusion(model, folder, height)
    right = counts[range(UNLABELLED), range(UNLABELLED)]
    iou = right / (counts.sum(1) + counts[:, :UNLABELLED].sum(0) - right)
    return {
        "photographs": len(list((folder / "images").iterdir())),
        "right pixels, %": round(100 * float(right.sum() / counts.sum()), 1),
        "mean IoU, %": round(100 * float(np.nanmean(iou)), 1),
        "IoU, %": {name: round(100 * value, 1) for name, value in zip(CLASSES, iou.tolist(), strict=True)},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--height", type=int)
    options = parser.parse_args()
    result = summary(SceneModel.load(options.model), options.folder, options.height)
    print(json.dumps({"environment": describe_environment()} | result, indent=2))


if __name__ == "__main__":
    main()
