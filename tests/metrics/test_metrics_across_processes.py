"""Two processes, each with its share of the frames, compute exactly what one computes with all of them."""

import pickle
import subprocess
import sys
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torchmetrics import Metric

from multisigma.metrics import ClassIoU, LaplaceCoverage, MaskedError, Reliability, VectorError, scene_metrics

FRAMES = 10
# What the first of two processes takes: then it has no labelled vector, or no frame at all.
FIRST_SHARES = (4, 0)


def results(scenes: list[Any], first: int, last: int) -> dict[str, Any]:
    """All values over frames first .. last-1."""
    rng = np.random.default_rng(0)
    classes = torch.from_numpy(rng.integers(0, 3, (2, FRAMES, 4, 5)))
    logits = torch.from_numpy(rng.normal(0, 2, (FRAMES, 3, 4, 5)))
    vectors = torch.from_numpy(rng.normal(0, 20, (2, FRAMES, 2, 4, 5)))
    vectors[1, :4] = nan
    metrics: list[tuple[Metric, Any, Any]] = [
        (ClassIoU(["road", "sky", "car"]), *classes),
        (MaskedError("normals"), *vectors),
        (VectorError("instance"), *vectors),
        (LaplaceCoverage("instance", 10.0), *vectors),
        (Reliability("semantic", {"": 1.0, "temperature": 3.0}), logits, classes[1]),
    ]
    found: dict[str, Any] = {}
    for metric, prediction, target in metrics:
        for frame in range(first, last):
            metric.update(prediction[frame : frame + 1], target[frame : frame + 1])
        found |= metric.compute()
    for metric in scene_metrics():
        for scene, truth in scenes[first:last]:
            metric.update(scene, truth)
        found |= metric.compute()
    return found


def test_two_processes_equal_one(make_case: Any, kinds: tuple[str, ...], tmp_path: Path) -> None:
    scenes = make_case(5, list(kinds))
    (tmp_path / "scenes.pickle").write_bytes(pickle.dumps(scenes))
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", __file__, str(tmp_path), str(rank)]) for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    alone = results(scenes, 0, FRAMES)
    assert {"iou_class", "ap", "pq", "disparity_error_px", "instance_error_px", "semantic_ece"} <= set(alone)
    for rank in range(2):
        # As text: not-a-number equals itself, and every digit counts.
        assert (tmp_path / f"{rank}.txt").read_text().splitlines() == [repr(alone)] * len(FIRST_SHARES)


if __name__ == "__main__":
    folder, rank = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=int(rank), world_size=2)
    scenes = pickle.loads((Path(folder) / "scenes.pickle").read_bytes())
    shares = [((0, first), (first, FRAMES))[int(rank)] for first in FIRST_SHARES]
    (Path(folder) / f"{rank}.txt").write_text("\n".join(repr(results(scenes, *share)) for share in shares))
    dist.destroy_process_group()
