"""Measure the speed of OPTICS, beside scikit-learn's, and of `instances_from_votes`, on one core.

python benchmarks/instances.py [--frames 20] [--seed 0] > benchmarks/results/instances.json

The votes come from generated street frames of 1024x2048, with smooth errors of 10 % of the vectors' lengths. Times are
processor time, after a first call that compiles the functions or loads them from the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numba
import numpy as np
from sklearn.cluster import OPTICS, cluster_optics_xi

from multisigma.experiments.instances import CLASS_IDS, ERRORS, GroundTruth
from multisigma.instances import VoteSettings, dbscan_cut, instances_from_votes, optics, tree_clusters, xi_clusters
from multisigma.synthetic import StreetSettings, make_labels
from multisigma.training.environment import describe_environment

FIRST_CALL = """
import time, numpy as np
from multisigma.instances import VoteSettings, instances_from_votes
begin = time.perf_counter()
vectors, semantic = np.zeros((2, 32, 64), np.float32), np.full((32, 64), 26)
for chosen in (VoteSettings(), VoteSettings(extraction="cut"), VoteSettings(extraction="xi", grid=0)):
    instances_from_votes(vectors, semantic, (26,), settings=chosen)
print(time.perf_counter() - begin)
"""


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the minimum processor time of a call over some repeats."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return min(times)


def first_calls() -> dict[str, float]:
    """Return the wall time of the first calls of a process, without a cache of compiled functions and then with it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_CALL]
        return {
            name: round(float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout), 2)
            for name in ("compiling, s", "from the cache, s")
        }


def peak_memory(count: int) -> int:
    """Return the peak resident memory, in bytes, of a process that orders `count` uniform points (Linux)."""
    script = (
        "import numpy as np; from multisigma.instances import optics; "
        f"optics(np.random.default_rng(0).uniform(0, {count**0.5}, ({count}, 2)), 20); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    return 1024 * int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def main() -> None:
    """Run the benchmark and print its results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(arguments.seed)

    frames = []
    for index in range(arguments.frames):
        labels = make_labels(StreetSettings(1024, 2048, arguments.seed, matching=False), "val", index)
        gt = GroundTruth.from_map(labels.instances)
        frames.append((gt, ERRORS["smooth, 10 %"](gt, rng)))
    # Among frames with enough votes, take the one with the most instances; cluster its classes together.
    gt, vectors = max((f for f in frames if len(f[0].x) >= 300_000), key=lambda f: len(f[0].instance_ids))
    votes = vectors + np.stack((gt.x, gt.y), axis=1)
    votes = votes[rng.permutation(len(votes))[:300_000]]
    few = votes[:20_000]

    result: dict[str, Any] = {
        "seed": arguments.seed,
        "instances in the frame": len(gt.instance_ids),
        "environment": describe_environment() | {"numba": numba.__version__},
        "first call": first_calls(),
    }
    optics(few[:100], 5)
    # scikit-learn's time hardly depends on min_samples.
    model = OPTICS(min_samples=20, metric="minkowski", p=2)
    begin = time.process_time()
    model.fit(few)
    scikit_learn = time.process_time() - begin
    assert np.array_equal(model.ordering_, optics(few, 20).ordering)
    ours = {k: seconds(partial(optics, few, k), 5) for k in (5, 20, 100)}
    result["20,000 votes"] = {
        **{f"min_samples {k}, ms": round(1000 * value, 1) for k, value in ours.items()},
        "scikit-learn, min_samples 20, s": round(scikit_learn, 1),
        "times faster": round(scikit_learn / ours[20]),
    }
    for min_samples in (5, 20, 100):
        result[f"300,000 votes, min_samples {min_samples}"] = {
            "max_eps infinite, s": round(seconds(partial(optics, votes, min_samples)), 2),
            "max_eps 30 px, s": round(seconds(partial(optics, votes, min_samples, 30.0)), 2),
        }
    result["300,000 equal votes, s"] = round(seconds(lambda: optics(np.ones((300_000, 2)), 5)), 3)
    order = optics(votes, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.process_time()
        cluster_optics_xi(
            reachability=order.reachability, predecessor=order.predecessor, ordering=order.ordering, min_samples=20
        )
        scikit_learn = time.process_time() - begin
    ones = np.ones(len(votes))
    xi_clusters(order, 20)
    tree_clusters(order, votes, ones)
    result["extraction from 300,000 votes"] = {
        "cut, ms": round(1000 * seconds(lambda: dbscan_cut(order, 3.0)), 1),
        "xi, ms": round(1000 * seconds(lambda: xi_clusters(order, 20)), 1),
        "xi by scikit-learn, ms": round(1000 * scikit_learn, 1),
        "tree, ms": round(1000 * seconds(lambda: tree_clusters(order, votes, ones)), 1),
    }
    base = peak_memory(100)
    result["peak memory, bytes a vote"] = {
        count: round((peak_memory(count) - base) / count) for count in (300_000, 600_000, 1_200_000)
    }

    steps: dict[str, list[float]] = {}
    for gt, vectors in frames:
        field = np.zeros((2, 1024, 2048), np.float32)
        field[:, gt.y, gt.x] = vectors.T
        semantic = gt.instances // 1000
        for grid in (0.0, 1.0, 2.0):
            chosen = replace(VoteSettings(), grid=grid)
            steps.setdefault(f"grid {grid:g} px", []).append(
                1000
                * seconds(
                    partial(instances_from_votes, field, semantic, CLASS_IDS, settings=chosen),
                    1 if grid == 0 else 2,
                )
            )
    pixels = [len(gt.x) for gt, _ in frames]
    result["vectors to instances, 1024x2048"] = {
        "frames": len(frames),
        "votes": {"least": min(pixels), "median": int(np.median(pixels)), "most": max(pixels)},
        **{
            name: {"median ms": round(float(np.median(times)), 1), "worst ms": round(max(times), 1)}
            for name, times in steps.items()
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
