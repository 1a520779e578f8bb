"""Two processes with unequal label counts give the gradients of one process with all the data."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from multisigma import ExactSoftmax, Gaussian, Laplace, Prediction, Softmax, UncertaintyWeighting, Weighting
from tests.weighting.methods import EVERY, GRADIENT_METHODS, METHODS, TASKS, TORCH

STEPS = 6


@contextmanager
def two_processes(rank: int, folder: str) -> Iterator[None]:
    """One of two, which goes only when both are done: gloo's threads abort where the other one has gone."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    yield
    distributed.barrier()
    distributed.destroy_process_group()


class Model(nn.Module):
    """A network with its weighting inside, as a Lightning module has it."""

    def __init__(self, weighting: Weighting) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({name: nn.Linear(4, 1) for name in TASKS})
        self.weighting = weighting
        self.double()  # at float32 the order of sums alone makes 1e-6

    def forward(self, x: Tensor, labelled: dict[str, Tensor], at_features: bool) -> Tensor:
        features = torch.tanh(self.trunk(x))
        losses: dict[str, Any] = {}
        for i, name in enumerate(TASKS):
            error = (self.heads[name](features).squeeze(1) - x[:, i]).abs() * labelled[name]
            losses[name] = error.sum(), labelled[name].sum()
        return self.weighting(losses, shared=features if at_features else self.trunk.parameters())


def data(step: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    labelled = {name: (torch.rand(12, generator=generator) < 0.6).double() for name in TASKS}
    labelled["b"][:5] = 0.0  # no label of this task in the first process
    if step == 2:
        labelled["c"][:] = 0.0  # nowhere
    if step == 3:
        labelled = {name: torch.zeros_like(mask) for name, mask in labelled.items()}  # nothing at all: no step
    return x, labelled


def train(
    make: Callable[[], Weighting], rank: int | None, wrap: Callable[[Model], nn.Module], at_features: bool
) -> dict[str, Tensor]:
    model = Model(make())
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.05)
    gradients = {}
    for step in range(STEPS):
        x, labelled = data(step)
        share = slice(None) if rank is None else slice(0, 5) if rank == 0 else slice(5, None)
        optimizer.zero_grad()
        objective = wrapped(x[share], {name: mask[share] for name, mask in labelled.items()}, at_features)
        objective.backward()
        gradients[f"objective {step}"] = objective.detach().clone()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                grad = parameter.grad.full_tensor() if hasattr(parameter.grad, "full_tensor") else parameter.grad
                gradients[f"{step} {name}"] = grad.clone()
        optimizer.step()
    gradients["weights"] = torch.tensor(list(model.weighting.weights.values()))
    return gradients


# For each kind of training its methods.
PLAIN, AT_FEATURES = list(EVERY), ["gradnorm", *GRADIENT_METHODS]
SHARDS = TORCH >= (2, 7)  # before, FSDP2 needs a GPU
SHARDED = ["uncertainty", "normalised", "closed form", "equal"] if SHARDS else []


def training(rank: int, folder: str) -> None:
    for kind, names in (("plain", PLAIN), ("at features", AT_FEATURES), ("sharded", SHARDED)):
        wrap = (lambda m: fully_shard(m)) if kind == "sharded" else DistributedDataParallel
        for name in names:
            torch.save(train(EVERY[name], rank, wrap, kind == "at features"), f"{folder}/{kind} {name} {rank}.pt")


def process(rank: int, folder: str) -> None:
    with two_processes(rank, folder):
        for part in (training, without_losses, *[mixed] * SHARDS, counting):
            part(rank, folder)
            distributed.barrier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two processes, which are started once: each takes seconds to load torch."""
    path = tmp_path_factory.mktemp("processes")
    mp.spawn(process, (str(path),), nprocs=2)
    return path


def compare(folder: Path, kind: str, names: list[str], at_features: bool = False) -> None:
    for name in names:
        alone = train(EVERY[name], None, lambda m: m, at_features)
        # What solves a convex problem does so to a tolerance of its own.
        rtol = 1e-6 if name in ("cagrad", "nash_mtl", "upgrad") else 1e-9
        for rank in range(2):
            found = torch.load(folder / f"{kind} {name} {rank}.pt")
            for key, value in alone.items():
                close = torch.allclose(found[key], value, rtol=rtol, atol=1e-3 * rtol)
                assert close, (name, rank, key, found[key], value)


def test_two_processes_give_the_gradients_of_one(folder: Path) -> None:
    compare(folder, "plain", PLAIN)


def test_two_processes_give_the_gradients_of_one_at_the_features(folder: Path) -> None:
    compare(folder, "at features", AT_FEATURES, at_features=True)


def without_losses(rank: int, folder: str) -> None:
    found = {}
    for name in EXACT_ALONE:
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        present = {"a": x[0], "b": x[1]} if not rank else {}
        EVERY[name]()(present).backward()
        found[name] = x.grad is not None
    torch.save(found, f"{folder}/without losses {rank}.pt")


# Methods that need no `shared`.
EXACT_ALONE = [name for name in METHODS if name != "gradnorm"]


def test_a_process_without_any_loss_has_a_backward_pass_too(folder: Path) -> None:
    for rank in range(2):
        assert torch.load(folder / f"without losses {rank}.pt") == dict.fromkeys(EXACT_ALONE, rank == 0)


@pytest.mark.skipif(not SHARDS, reason="FSDP2 needs a GPU")
def test_sharded_parameters(folder: Path) -> None:
    """FSDP2: the noise is sharded with the rest, and its weights are still read whole."""
    compare(folder, "sharded", SHARDED)


def mixed(rank: int, folder: str) -> None:
    model = nn.Sequential(UncertaintyWeighting({"a": Gaussian()}, 4.6123))
    fully_shard(model[0])
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16, cast_forward_inputs=False))
    torch.save(model({"a": torch.tensor(2.0)}).detach(), f"{folder}/mixed {rank}.pt")


@pytest.mark.skipif(not SHARDS, reason="FSDP2 needs a GPU")
def test_noise_sharded_by_itself_is_not_rounded_with_the_network(folder: Path) -> None:
    """At bfloat16 4.6123 would be 4.625, and the objective 0.006 more."""
    for rank in range(2):
        objective = torch.load(folder / f"mixed {rank}.pt").item()
        assert objective == pytest.approx(2.0 * 0.5 * math.exp(-4.6123) + 0.5 * 4.6123, rel=1e-6)


def counting(rank: int, folder: str) -> None:
    calls = []
    reduce = distributed.all_reduce
    distributed.all_reduce = lambda tensor, *args, **kwargs: (calls.append(tensor.numel()), reduce(tensor))[1]  # type: ignore[assignment]
    weighting = UncertaintyWeighting({"a": Softmax(), "b": Laplace(), "c": Gaussian(), "d": ExactSoftmax()})
    # Each kind of absence in one process alone: nobody waits for an all-reduce that does not come.
    logits = Prediction(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    one, nothing = torch.tensor(1.0), (torch.tensor(math.nan), torch.tensor(0))
    losses: dict[str, Any] = {"a": one, "b": (2 * one, 1), "c": 4 * one.double(), "d": logits}
    if rank:
        losses = {"b": nothing, "c": None, "d": logits}
    objective = weighting(losses)
    objective.backward()
    distributed.all_reduce = reduce
    # Scalars count as one element each: the mean is that of the process which has one.
    torch.save((len(calls), objective.item(), weighting.log_variance("d").grad), f"{folder}/counting {rank}.pt")


def test_one_all_reduce_whatever_is_absent_where(folder: Path) -> None:
    for rank in range(2):
        calls, objective, gradient = torch.load(folder / f"counting {rank}.pt")
        assert calls == 1
        assert objective == pytest.approx(1.0 + 2.0 + 0.5 * 4.0 + 0.6931472, rel=1e-6)
        assert gradient is not None
