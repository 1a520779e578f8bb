"""Measure what each part of the small model's training is worth.

The parts are pretraining of the encoder, random changes of colour, rich streets, the decoder, and long training.

python benchmarks/ablation.py --rich RICH --plain PLAIN --unseen UNSEEN --photographs FOLDER --runs RUNS [--seeds 3] \
    > benchmarks/results/ablation.json

RICH and PLAIN are roots of the same number of streets from generators of version 2 and 1; UNSEEN has streets of version
2 from other seeds. FOLDER has photographs as `benchmarks/photographs.py` wants them. Each run changes one part of the
preset `laptop`, with a smaller decoder and shortened to `ITERATIONS`. Results are kept in RUNS, so that a call that was
stopped goes on.

To make the data (the old generator is in the history, at the commit before eb58f1f):

    multisigma generate rich --train 320 --val 8 --size 128x256
    multisigma generate unseen --train 0 --val 60 --size 128x256 --seed 200
    git worktree add --detach old eb58f1f~1
    PYTHONPATH=old/src python -m multisigma generate plain --train 320 --val 8 --size 128x256
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from photographs import summary

from multisigma import SceneModel
from multisigma.experiments.statistics import t_interval
from multisigma.files import write_text
from multisigma.training.config import PRESETS, Names, Size, TrainConfig
from multisigma.training.environment import describe_environment
from multisigma.training.evaluate import evaluate
from multisigma.training.train import train

ITERATIONS: Final = 160
KEYS: Final = ("iou_class", "instance_error_px", "disparity_error_px", "ap")
WHOLE: Final = "all parts"
# Each but the first leaves one part out, or adds to the training.
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    WHOLE: {},
    "encoder from random weights": {"encoder_weights": "none", "frozen_stride": 0, "encoder_learning_rate": None},
    "without changes of colour": {"photometric": None},
    "plain streets (version 1)": {"data": "plain"},
    "the paper's decoder": {"skip_channels": 0, "separable": False},
    "three times as long": {"iterations": 3 * ITERATIONS},
}


def configuration(change: dict[str, Any], roots: dict[str, str], seed: int) -> TrainConfig:
    """Return the configuration of a run."""
    base = replace(
        TrainConfig.from_yaml(PRESETS["laptop"]),
        data="rich",
        frozen_stride=8,
        encoder_learning_rate=0.02,
        batch_size=4,
        crop=Size(96, 192),
        output_stride=32,
        aspp_channels=64,
        dilations=Names("1", "2", "3", "4"),
        decoder_channels=64,
        iterations=ITERATIONS,
        validation_frames=0,
        precision="32-true",
        workers=0,
        seed=seed,
    )
    config = replace(base, **change)
    every = config.iterations
    return replace(config, data=roots[config.data], validate_every=every, checkpoint_every=every)


def measure(config: TrainConfig, run: Path, unseen: str, photographs: Path) -> dict[str, Any]:
    """Train, and return the numbers on unseen streets and on photographs."""
    train(config, run, resume=(run / "config.yaml").is_file())
    found = evaluate(run, unseen, pictures=0).evaluation.measurements
    values = {m.key: m.value for m in found if m.key in KEYS}
    seen = summary(SceneModel.load(run), photographs, None)
    seconds = json.loads((run / "environment.json").read_text(encoding="utf-8"))["training seconds"]
    return values | {name: seen[name] for name in ("right pixels, %", "mean IoU, %")} | {"seconds": seconds}


def table(results: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, str]]:
    """Return mean and half of the 95 % t interval of each number, and of its difference to the runs with all parts."""
    rows: dict[str, dict[str, str]] = {}
    for name, runs in results.items():
        row = {}
        for key in runs[0]:
            row[key] = _interval([run[key] for run in runs])
            if name != WHOLE and key != "seconds":
                pairs = zip(runs, results[WHOLE], strict=False)
                row[f"{key}, difference"] = _interval([run[key] - whole[key] for run, whole in pairs])
        rows[name] = row
    return rows


def _interval(values: list[float]) -> str:
    found = t_interval(values)
    return f"{np.mean(values):.4g} ± {(found.high - found.low) / 2:.2g}"


def main() -> None:
    """Do the runs that are missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("rich", "plain", "unseen"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    roots = {"rich": options.rich, "plain": options.plain}
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for number, (name, change) in enumerate(VARIANTS.items()):
            path = options.runs / f"{number}-{seed}.json"
            if not path.is_file():
                config = configuration(change, roots, seed)
                found = measure(config, options.runs / f"{number}-{seed}", options.unseen, options.photographs)
                write_text(path, json.dumps(found))
            results.setdefault(name, []).append(json.loads(path.read_text(encoding="utf-8")))
    print(
        json.dumps(
            {
                "environment": describe_environment(),
                "iterations": ITERATIONS,
                "seeds": options.seeds,
                "mean ± half of the 95 % t interval over seeds": table(results),
                "runs": results,
            },
            indent=2,
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    main()
