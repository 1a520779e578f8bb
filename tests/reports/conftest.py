"""A run folder as training and evaluation leave it, made from closed-form curves and painted frames."""

import csv
import json
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from multisigma.datasets.label_space import CITYSCAPES
from multisigma.metrics import Evaluation, Measurement
from multisigma.reports.samples import write_samples
from multisigma.visualization.colours import MISTAKES_SCALE, colour_mistakes, colour_vectors, disparity_scale
from multisigma.visualization.picture import Picture, Sample

# First loss, last loss, last sigma.
TASKS = {"semantic": (2.9, 0.5, 0.6), "instance": (14.0, 3.1, 4.0), "depth": (6.0, 0.8, 1.1)}
COLOUR = {label.name: label.color for label in CITYSCAPES.train_classes}


def log_rows(first: int, last: int, every: int = 5) -> list[dict[str, float]]:
    """Rows of a log whose losses fall exponentially with noise and whose sigmas follow."""
    rng = np.random.default_rng(first)
    rows = []
    for step in range(first, last, every):
        row: dict[str, float] = {"step": step, "epoch": step // 12}
        for task, (start, end, sigma) in TASKS.items():
            row[f"loss/{task}"] = (end + (start - end) * np.exp(-step / 120)) * rng.lognormal(0, 0.18)
            row[f"sigma/{task}"] = sigma + (start / 3 - sigma) * np.exp(-step / 200)
            row[f"noise/{task}"] = row[f"sigma/{task}"]
            row[f"weight/{task}"] = 1 / row[f"noise/{task}"]
            if step % 100 == 0:
                row[f"val/loss/{task}"] = end * 1.2 + (start - end) * np.exp(-step / 120)
        row |= {f"noise_ratio/{task}": row["noise/depth"] / row[f"noise/{task}"] for task in TASKS}
        row["loss/total"] = sum(row[f"weight/{task}"] * row[f"loss/{task}"] for task in TASKS)
        row["learning_rate"] = 0.01 * (1 - step / 600) ** 0.9
        rows.append(row)
    return rows


def write_log(run: Path, first: int, rows: list[dict[str, float]]) -> Path:
    folder = run / "logs" / "csv" / str(first)
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "metrics.csv"


def painted_sample(seed: int, size: tuple[int, int] = (128, 256)) -> Sample:
    """Sky, buildings, road and a few box-shaped cars, and a prediction that is the truth moved by a few pixels."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    truth = np.full((height, width, 3), COLOUR["sky"], dtype=np.uint8)
    truth[y > 0.25 * height + 12 * np.sin(x / 31 + seed)] = COLOUR["building"]
    truth[y > 0.55 * height] = COLOUR["road"]
    vectors = np.full((2, height, width), np.nan, dtype=np.float32)
    instances = np.zeros_like(truth)
    for scale in np.sort(rng.uniform(0.15, 0.4, 5)):
        high, wide = int(scale * height), int(1.6 * scale * height)
        top, left = int(0.5 * height), int(rng.integers(0, width - wide))
        box = (slice(top, top + high), slice(left, left + wide))
        truth[box] = COLOUR["car"]
        instances[box] = rng.integers(60, 256, 3)
        vectors[0][box], vectors[1][box] = left + wide / 2 - x[box], top + high / 2 - y[box]
    depth = np.clip((y - 0.3 * height) * 3, 0, 255)
    depth_rgb = np.dstack((depth, depth * 0.5, 90 + depth * 0.4)).astype(np.uint8)
    image = np.clip(0.5 * truth + 60 + rng.normal(0, 9, truth.shape), 0, 255).astype(np.uint8)
    pictures = [Picture("Image", image, None)]
    for title, pixels in (
        ("Semantic segmentation", truth),
        ("Instance vectors", colour_vectors(vectors, height / 3)),
        ("Instances", instances),
        ("Depth", depth_rgb),
    ):
        labelled = not (title == "Depth" and seed == 1)
        prediction = np.roll(pixels, (1, 3), (0, 1))
        error = scale = error_scale = None
        if title == "Semantic segmentation":
            error, error_scale = colour_mistakes((prediction != truth).any(2), y < 0.9 * height), MISTAKES_SCALE
        if title == "Depth":
            scale = disparity_scale(40.0, 500.0)
        pictures.append(Picture(title, prediction, pixels if labelled else None, error, scale, error_scale))
    return Sample(f"town_{seed:06d}_000019", pictures)


@pytest.fixture
def make_run() -> Callable[[Path], Path]:
    return fill_run


def fill_run(run: Path, frames: int = 2, size: tuple[int, int] = (128, 256)) -> Path:
    """Everything that a finished run holds, a resumed start's log among it."""
    run.mkdir(parents=True)
    config = {
        "preset": "demo",
        "data": "demo/data",
        "iterations": 600,
        "batch_size": 8,
        "crop": [128, 256],
        "encoder": "resnet18",
        "tasks": list(TASKS),
        "weighting": "uncertainty",
        "learning_rate": 0.01,
        "encoder_weights": "none",
        "seed": 0,
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    environment = {
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "cpu": "two cores",
        "memory": "8 GiB",
        "gpu": None,
        "torch": "2.9.0",
        "timm": "1.0.22",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "command": "multisigma train --preset demo --data demo/data --out demo/run --iterations 600 --batch-size 8",
        "training seconds": 192.4,
        "parameters": 12_345_678,
    }
    (run / "environment.json").write_text(json.dumps(environment))
    parts = [("encoder", 11_176_512, 9.1e9), ("aspp", 3_211_264, 6.4e9)]
    parts += [(f"decoder: {task}", 2_950_000, 3.2e9) for task in TASKS]
    keys = ("part", "parameters", "multiply_adds")
    (run / "network.json").write_text(json.dumps([dict(zip(keys, part, strict=True)) for part in parts]))
    write_log(run, 0, log_rows(0, 350))
    write_log(run, 300, log_rows(300, 600))
    per_class = {label.name: 100 * float(np.exp(-index / 9)) for index, label in enumerate(CITYSCAPES.train_classes)}
    per_class["train"] = nan
    baseline_per_class = {name: value / 4 for name, value in per_class.items()}
    write_evaluation(run / "evaluations" / "data-val", per_class, baseline_per_class)
    write_samples(
        run / "evaluations" / "data-val" / "samples",
        [painted_sample(seed, size) for seed in range(frames)],
        CITYSCAPES,
    )
    return run


def write_evaluation(folder: Path, per_class: dict[str, float], baseline_per_class: dict[str, float]) -> None:
    """The numbers of a network and its baseline, some with intervals."""

    def number(key: str, name: str, value: float, unit: str = "px", **more: Any) -> Measurement:
        definition = "Of the vectors." if key.startswith("instance") else f"What {name} is."
        return Measurement(key, value, unit, unit == "%", definition, name=name, **more)

    # Each class is right in 3 pixels of 4 and else the next; no train occurs, and rider is never predicted.
    confusion = 300 * np.eye(19, dtype=int) + 100 * np.roll(np.eye(19, dtype=int), 1, axis=1)
    train, rider = (list(per_class).index(name) for name in ("train", "rider"))
    confusion[train], confusion[:, train], confusion[:, rider] = 0, 0, 0

    def numbers(scale: float, classes: dict[str, float]) -> list[Measurement]:
        return [
            number(
                "iou_class",
                "IoU class",
                42.12 / scale**1.829,
                "%",
                per_class=classes,
                is_main=True,
                details={"classes": list(classes), "confusion": confusion.tolist(), "predicted_other": [0] * 19},
                worst_frames={"lindenau_000001_000019": 7.5, "rosenfurt_000002_000019": 11.25},
            ),
            number("instance_error_px", "Instance mean error", 3.104 * scale, is_main=True),
            number("instance_component_error_px", "Instance mean component error", 1.552 * scale),
            number("disparity_error_px", "Disparity mean error", 0.801 * scale, interval=(0.7, 0.9), is_main=True),
            number("disparity_rms_px", "Disparity RMS error", 1.62 * scale),
        ]

    folder.mkdir(parents=True)
    provenance = {"data": "demo/data", "split": "val", "frames": 24}
    Evaluation(numbers(1, per_class), numbers(2, baseline_per_class), provenance=provenance).write(folder)
