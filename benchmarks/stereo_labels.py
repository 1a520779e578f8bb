"""Depth learned from semi-global matching, as Cityscapes' labels are made, against depth learned from exact disparity.

python benchmarks/stereo_labels.py --data STREETS --runs RUNS [--seeds 3] > benchmarks/results/stereo_labels.json

STREETS is a root that `multisigma generate` made. The network of the experiments' budget `cpu` is trained on it, with
learned weights, once with its disparity and once with the exact one in its place. Both are measured against both.
Results are kept in RUNS, so that a call that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from multisigma.experiments.statistics import t_interval
from multisigma.experiments.study import Study
from multisigma.files import write_text
from multisigma.training.environment import describe_environment
from multisigma.training.evaluate import evaluate
from multisigma.training.train import train

KEYS = ("iou_class", "instance_error_px", "disparity_error_px")


def link_exact(root: Path, folder: Path) -> None:
    """Make a root of links to another, in which the exact disparity takes the place of the matched one."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {path.name: path for path in root.iterdir() if path.is_dir()}
    names["disparity"] = names.pop("disparity_exact")
    for name, path in names.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(path.resolve(), target_is_directory=True)


def measure(roots: dict[str, Path], learned_from: str, seed: int, run: Path) -> dict[str, Any]:
    """Train on one root, and return the numbers on each, and the learned sigma of depth."""
    study = Study(run.parent, "cpu", 1, str(roots[learned_from]), tuned=False)
    config = replace(study.config(seed=seed), log_every=50)
    module = train(config, run, resume=(run / "config.yaml").is_file())
    found: dict[str, Any] = {"sigma of depth, px": module.weighting.sigma["depth"]}
    for name, root in roots.items():
        values = {m.key: m.value for m in evaluate(run, root, pictures=0).evaluation.measurements}
        found |= {f"{key}, against {name}": values[key] for key in KEYS if key in values}
    return found


def main() -> None:
    """Do the runs that are missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    roots = {"matching": options.data, "exact": options.runs / "exact"}
    link_exact(options.data, roots["exact"])
    results: dict[str, list[dict[str, float]]] = {f"learned from {name}": [] for name in roots}
    for seed in range(1, options.seeds + 1):
        for name in roots:
            path = options.runs / f"{name}-{seed}.json"
            if not path.is_file():
                write_text(path, json.dumps(measure(roots, name, seed, options.runs / f"{name}-{seed}")))
            results[f"learned from {name}"].append(json.loads(path.read_text(encoding="utf-8")))
    first, second = results.values()
    summary = {}
    for key in first[0]:
        columns = {name: t_interval([run[key] for run in runs]) for name, runs in results.items()}
        columns["exact minus matching"] = t_interval([b[key] - a[key] for a, b in zip(first, second, strict=True)])
        summary[key] = {name: [round(value, 4) for value in ends] for name, ends in columns.items()}
    result = {
        "environment": describe_environment(),
        "seeds": options.seeds,
        "mean, and ends of the 95 % t interval over seeds": summary,
        "runs": results,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
