"""Two processes, each with its share of the frames, compute what one computes with all of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from multisigma.metrics import ClassIoU, EndPointError, MaskedError


def results(first: int, last: int) -> dict[str, float]:
    """All values over frames first .. last-1, per-class IoUs under their class's name."""
    rng = np.random.default_rng(0)
    classes = torch.from_numpy(rng.integers(0, 3, (2, 6, 4, 5)))
    vectors = torch.from_numpy(rng.normal(0, 20, (2, 6, 2, 4, 5)))
    vectors[1, :2] = torch.nan
    found: dict[str, float] = {}
    for metric, (prediction, target) in (
        (ClassIoU(["road", "sky", "car"]), classes),
        (MaskedError("instance"), vectors),
        (EndPointError("instance"), vectors),
    ):
        for frame in range(first, last):
            metric.update(prediction[frame : frame + 1], target[frame : frame + 1])
        found |= metric.compute()
    return found | found.pop("iou_per_class")


def test_two_processes_equal_one(tmp_path: Path) -> None:
    # Uneven shares, and the first process has no labelled vector at all.
    processes = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path), str(rank), *share])
        for rank, share in enumerate([("0", "2"), ("2", "6")])
    ]
    assert [process.wait(timeout=180) for process in processes] == [0, 0]
    alone = results(0, 6)
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(alone, rel=1e-12)


if __name__ == "__main__":
    folder, rank, first, last = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=int(rank), world_size=2)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(results(int(first), int(last))))
    dist.destroy_process_group()
