"""Milliseconds of processor time to read a frame of 1024x2048, from a Cityscapes root and from its packed copy.

python benchmarks/reading.py [--frames 4] [--repeats 10] [--seed 0] > benchmarks/results/reading.json

The crop is of 512x512 at a random scale, as in training.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from multisigma.datasets.augment import AugmentSettings, apply_transform, draw_transform
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.open import open_dataset
from multisigma.datasets.prepare import prepare
from multisigma.synthetic import generate
from multisigma.training.environment import describe_environment

HEIGHT, WIDTH = 1024, 2048


def measure(dataset: SceneDataset, repeats: int) -> dict[str, float]:
    """Median milliseconds for a whole frame, for its labels alone, and for a training crop."""
    labels = dataset.label_counts().keys()

    def crop(i: int) -> None:
        drawn = draw_transform(AugmentSettings(crop=(512, 512)), HEIGHT, WIDTH, np.random.default_rng(i))
        apply_transform(dataset.read(i), drawn)

    ways: dict[str, Callable[[int], object]] = {
        "whole frame": dataset.read,
        "labels alone": lambda i: dataset.read(i, labels),
        "crop for training": crop,
    }
    found = {}
    for name, read in ways.items():
        read(0)  # compiles
        times = []
        for i in list(range(len(dataset))) * repeats:
            begin = time.process_time()
            read(i)
            times.append(time.process_time() - begin)
        found[name] = round(1000 * median(times), 2)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, packed = Path(folder, "root"), Path(folder, "packed")
        generate(root, options.frames, 1, HEIGHT, WIDTH, options.seed, processes=1, samples_page=False)
        prepare(root, packed, packed=True)
        result = {name: measure(open_dataset(path, "train"), options.repeats) for name, path in
                  {"Cityscapes root": root, "packed copy": packed}.items()}  # fmt: skip
        pixels = HEIGHT * WIDTH * options.frames
        size = sum(path.stat().st_size for path in (packed / "train").glob("*.npy"))
    print(json.dumps(vars(options) | {"milliseconds": result, "bytes of a packed pixel": round(size / pixels, 2),
                                      "environment": describe_environment()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
