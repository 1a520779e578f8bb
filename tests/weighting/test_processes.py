"""Two processes with unequal label counts give the gradients of one process with all the data."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed

from multisigma import Laplace, UncertaintyWeighting


def residuals() -> torch.Tensor:
    return torch.randn(30, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def gradients(shares: list[torch.Tensor], rank: int) -> tuple[float, float]:
    weighting = UncertaintyWeighting({"task": Laplace()}, 0.4)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    share = shares[rank]
    weighting({"task": ((scale * share - 1).abs().sum(), len(share))}).backward()
    assert scale.grad is not None
    noise = weighting.log_variance("task").grad
    assert noise is not None
    return scale.grad.item(), noise.item()


def worker(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    found = torch.tensor(gradients([residuals()[:7], residuals()[7:]], rank), dtype=torch.float64)
    distributed.all_reduce(found)
    if rank == 0:
        torch.save(found / 2, f"{folder}/averaged.pt")
    distributed.destroy_process_group()


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    mp.spawn(worker, (str(tmp_path),), nprocs=2)
    averaged = torch.load(tmp_path / "averaged.pt")
    assert averaged.tolist() == pytest.approx(gradients([residuals()], 0), rel=1e-6)
