"""What each weighting costs in a training step, against the plain sum, TorchJD's and LibMTL's versions.

python benchmarks/weighting.py [--rounds 3] [--pairs 15] [--seed 0] [--quick] > benchmarks/results/weighting.json

The network is torchvision's ResNet-18 with random weights and three heads at an eighth of the image's resolution: 19
classes with a cross entropy, 2 channels and 1 channel with an L1 loss. The batch has 8 images of 128x256 in float32.
The optimiser is plain gradient descent. All methods train the same network in one process. In each round they take one
step each, in a new random order, so that other work on the machine disturbs all alike.

Time is processor time on one thread, which other processes change little. It is that of a whole step: `zero_grad`,
forward pass, weighting, backward passes, the optimiser's step. Ratios are to the mean of the same round's steps with
the plain sum. `rounds` have all methods. `pairs` have uncertainty weighting alone, many times, because it costs less
than the plain sum's time varies from step to step.

Memory is the most that torch's tensors hold at once in a step, above what they held before it (weights, batch). The
profiler records each allocation, so the number is the same at each repetition. What oneDNN and the solvers of cvxpy
allocate by themselves is not counted.

Host time is that of uncertainty weighting alone, on given scalar losses that need a gradient. Differences too small for
whole steps show there.

LibMTL 1.1.5 runs only with two repairs: a torchvision module that it imports is gone, and its gradient methods need
gradients of zero after `zero_grad`. It gets both here, and losses as its Trainer makes them.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchjd import aggregation, scalarization
from torchjd.autojac import jac_to_grad, mtl_backward
from torchvision.models import resnet18

import multisigma as ours
from multisigma.training.environment import describe_environment

TASKS = {"semantic": 19, "instance": 2, "depth": 1}
LIKELIHOODS = {"semantic": ours.Softmax(), "instance": ours.Laplace(), "depth": ours.Laplace()}
AGGREGATORS: dict[str, Callable[[], nn.Module]] = {
    "mgda": aggregation.MGDA,
    "pcgrad": aggregation.PCGrad,
    "cagrad": partial(aggregation.CAGrad, c=0.5),
    "imtl_g": aggregation.IMTLG,
    "nash_mtl": partial(aggregation.NashMTL, n_tasks=len(TASKS)),
    "aligned_mtl": aggregation.AlignedMTL,
    "upgrad": aggregation.UPGrad,
}


class Network(nn.Module):
    """ResNet-18 without its last pooling, and a head per task."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*list(resnet18().children())[:-2])
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Conv2d(512, 128, 3, padding=1),
                    nn.ReLU(),
                    nn.Conv2d(128, channels, 1),
                    nn.Upsample(scale_factor=4, mode="bilinear"),
                )
                for name, channels in TASKS.items()
            }
        )

    def forward(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The features (B, 512, H/32, W/32), and each task's output (B, C, H/8, W/8)."""
        features = self.encoder(image)
        return features, {name: head(features) for name, head in self.heads.items()}


@dataclass
class Batch:
    """Random images and targets."""

    image: Tensor
    classes: Tensor
    targets: dict[str, Tensor]

    @classmethod
    def random(cls, number: int, height: int, width: int) -> Batch:
        """A batch of `number` images."""
        shape = (number, height // 8, width // 8)
        targets = {name: torch.randn(number, TASKS[name], *shape[1:]) for name in ("instance", "depth")}
        return cls(torch.randn(number, 3, height, width), torch.randint(0, TASKS["semantic"], shape), targets)

    def losses(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each task's mean loss."""
        l1 = {name: F.l1_loss(outputs[name], target) for name, target in self.targets.items()}
        return {"semantic": F.cross_entropy(outputs["semantic"], self.classes)} | l1


@dataclass
class Method:
    """One way to come from losses to gradients.

    `backward` takes the features and the losses and leaves gradients at all parameters; `forward` is the network's own
    unless a package wants another; `after` follows the optimiser's step.
    """

    backward: Callable[[Tensor, dict[str, Tensor]], object]
    groups: list[dict[str, Any]] = field(default_factory=list)
    forward: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]] | None = None
    after: Callable[[], object] | None = None


# Method and package.
Key = tuple[str, str]
Methods = dict[Key, Method]
Step = Callable[[], None]
PLAIN: Key = ("plain sum", "torch")


def _sum(losses: dict[str, Tensor]) -> Tensor:
    return cast(Tensor, sum(losses.values()))


def plain_sum() -> Methods:
    """What a user without a weighting writes."""
    return {PLAIN: Method(lambda features, losses: _sum(losses).backward())}


def our_methods(network: Network, batch: Batch) -> Methods:
    """Every weighting of this library."""
    names = list(TASKS)

    def method(weighting: ours.Weighting, shared: Callable[[Tensor], Any] = lambda features: None) -> Method:
        return Method(
            lambda features, losses: weighting(losses, shared=shared(features)).backward(), weighting.param_groups()
        )

    famo = ours.FAMO(names)
    same_batch = method(famo)
    same_batch.after = lambda: famo.update(losses_without_graph(network, batch))
    weightings: dict[str, Method] = {
        "equal": method(ours.EqualWeighting(names)),
        "uncertainty": method(ours.UncertaintyWeighting(LIKELIHOODS)),
        "uncertainty, normalised": method(ours.UncertaintyWeighting(LIKELIHOODS, normalise=1.0)),
        "uncertainty, closed form": method(ours.UncertaintyWeighting(LIKELIHOODS, closed_form=True)),
        "uncertainty, revised": method(ours.RevisedUncertaintyWeighting(names)),
        "UWSO": method(ours.UWSO(names)),
        "IMTL-L": method(ours.IMTLL(names)),
        "RLW": method(ours.RLW(names)),
        "DWA": method(ours.DynamicWeightAverage(names, steps_per_epoch=1)),
        "GLS": method(ours.GLS(names)),
        "FAMO, next batch": method(ours.FAMO(names)),
        "FAMO, same batch": same_batch,
        "STCH": method(ours.SmoothTchebycheff(names)),
        "LogTransform": method(ours.LogTransform(names)),
    }
    encoder = list(network.encoder.parameters())
    last = next(module.weight for module in reversed(list(network.encoder.modules())) if isinstance(module, nn.Conv2d))
    places: dict[str, Callable[[Tensor], object]] = {
        "parameters": lambda features: encoder,
        "features": lambda features: features,
    }
    for place, shared in places.items():
        weightings[f"GradNorm, {place}"] = method(ours.GradNorm(names), shared)
        for name in AGGREGATORS:
            weightings[f"{name}, {place}"] = method(ours.GradientAggregation(names, name), shared)
    weightings["GradNorm, last shared layer"] = method(ours.GradNorm(names), lambda features: last)
    return {(name, "ours"): method for name, method in weightings.items()}


def losses_without_graph(network: Network, batch: Batch) -> dict[str, Tensor]:
    """The losses once more, after a step."""
    with torch.no_grad():
        return batch.losses(network(batch.image)[1])


def torchjd_methods(network: Network, batch: Batch) -> Methods:
    """TorchJD's version of each method that it has."""

    def scalarizer(module: nn.Module, learned: bool = False) -> Method:
        groups = [{"params": list(module.parameters())}] if learned else []
        return Method(lambda features, losses: module(torch.stack(list(losses.values()))).backward(), groups)

    average, famo = scalarization.DWA(), scalarization.FAMO(len(TASKS))
    found = {
        "equal": scalarizer(scalarization.Sum()),
        "uncertainty": scalarizer(scalarization.UW(len(TASKS)), learned=True),
        "IMTL-L": scalarizer(scalarization.IMTLL(len(TASKS)), learned=True),
        "RLW": scalarizer(scalarization.Random()),
        "DWA": scalarizer(average),
        "GLS": scalarizer(scalarization.GeometricMean()),
        "FAMO, same batch": scalarizer(famo),
        "STCH": scalarizer(scalarization.STCH(mu=1.0)),
    }
    found["DWA"].after = average.step
    found["FAMO, same batch"].after = lambda: famo.update(
        torch.stack(list(losses_without_graph(network, batch).values()))
    )

    def aggregator(module: Any, chunk: int | None = None, by_gramian: bool = False) -> Method:
        options: dict[str, Any] = {"optimize_gramian_computation": True} if by_gramian else {}

        def backward(features: Tensor, losses: dict[str, Tensor]) -> None:
            mtl_backward(list(losses.values()), features=features, parallel_chunk_size=chunk)
            jac_to_grad(network.encoder.parameters(), module, **options)

        return Method(backward)

    for name, make in AGGREGATORS.items():
        found[f"{name}, parameters"] = aggregator(make())
    found["upgrad, parameters, row by row and by Gramian"] = aggregator(aggregation.UPGrad(), 1, by_gramian=True)
    return {(name, "TorchJD"): method for name, method in found.items()}


def import_libmtl() -> tuple[ModuleType, ModuleType]:
    """LibMTL's architectures and weightings."""
    gone: Any = ModuleType("torchvision.models.utils")
    gone.load_state_dict_from_url = torch.hub.load_state_dict_from_url
    sys.modules.setdefault(gone.__name__, gone)
    return importlib.import_module("LibMTL.architecture"), importlib.import_module("LibMTL.weighting")


def libmtl_methods(network: Network) -> Methods:
    """LibMTL's version of each method that it has."""
    architecture, weighting = import_libmtl()

    def method(name: str, at_features: bool = False, **parameters: object) -> Method:
        joined = type(name, (architecture.HPS, getattr(weighting, name)), {})(
            task_name=list(TASKS),
            encoder_class=lambda: network.encoder,
            decoders=network.heads,
            rep_grad=at_features,
            multi_input=False,
            device=torch.device("cpu"),
        )
        joined.init_param()
        joined.zero_grad_share_params = partial(network.encoder.zero_grad, set_to_none=False)
        # As in the third epoch.
        joined.epoch, joined.train_loss_buffer = 2, np.ones((len(TASKS), 3))

        def backward(features: Tensor, losses: dict[str, Tensor]) -> None:
            together = torch.zeros(len(TASKS))
            for i, loss in enumerate(losses.values()):
                together[i] = loss
            joined.backward(together, **parameters)

        groups = [{"params": own}] if (own := list(joined.parameters(recurse=False))) else []
        # Its methods find the features by themselves.
        return Method(backward, groups, lambda image: (torch.empty(0), joined(image)))

    found = {
        "equal": method("EW"),
        "uncertainty": method("UW"),
        "RLW": method("RLW", dist="Normal"),
        "DWA": method("DWA", T=2.0),
        "GLS": method("GLS"),
        "GradNorm, parameters": method("GradNorm", alpha=1.5),
        "GradNorm, features": method("GradNorm", at_features=True, alpha=1.5),
        "mgda, parameters": method("MGDA", mgda_gn="none"),
        "mgda, features": method("MGDA", at_features=True, mgda_gn="none"),
        "pcgrad, parameters": method("PCGrad"),
        "cagrad, parameters": method("CAGrad", calpha=0.5, rescale=1),
        "imtl_g with IMTL-L, parameters": method("IMTL"),
        "imtl_g with IMTL-L, features": method("IMTL", at_features=True),
    }
    return {(name, "LibMTL"): method for name, method in found.items()}


def step_of(method: Method, network: Network, batch: Batch) -> Step:
    """A whole training step."""
    forward = method.forward or network
    optimizer = torch.optim.SGD([*method.groups, {"params": network.parameters()}], lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        features, outputs = forward(batch.image)
        method.backward(features, batch.losses(outputs))
        optimizer.step()
        if method.after is not None:
            method.after()

    return step


def seconds_of(step: Step) -> float:
    """Processor time of one call."""
    start = time.process_time()
    step()
    return time.process_time() - start


def peak_memory(step: Step) -> int:
    """The most bytes that torch's tensors hold at once in a step above those before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        record.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = np.cumsum([event["args"]["Bytes"] for event in changes])
    return int(held.max(initial=0))


def in_turns(steps: Mapping[Key, Step], order: random.Random, plain_steps: int) -> list[tuple[Key, float]]:
    """Each method's step once and so many with the plain sum, in an order drawn anew: time by the plain sum's."""
    turns = [*steps, *[PLAIN] * (plain_steps - 1)]
    order.shuffle(turns)
    found = [(key, seconds_of(steps[key])) for key in turns]
    unit = statistics.mean(seconds for key, seconds in found if key == PLAIN)
    return [(key, seconds / unit) for key, seconds in found]


def whole_steps(network: Network, steps: Mapping[Key, Step], rounds: int, order: random.Random) -> dict[str, Any]:
    """Time and memory of a training step with each method."""
    memory = {}
    for key, step in steps.items():
        network.zero_grad()
        gc.collect()
        memory[key] = peak_memory(step)  # and warms up
    ratios: dict[Key, list[float]] = {key: [] for key in steps}
    for _ in range(rounds):
        for key, ratio in in_turns(steps, order, plain_steps=5):
            ratios[key].append(ratio)
    result: dict[str, Any] = {}
    for key in steps:
        name, package = key
        result.setdefault(name, {})[package] = {
            "time to plain sum": {
                "median": round(statistics.median(ratios[key]), 3),
                "least": round(min(ratios[key]), 3),
                "most": round(max(ratios[key]), 3),
            },
            "peak MiB": round(memory[key] / 2**20, 1),
            "memory to plain sum": round(memory[key] / memory[PLAIN], 3),
        }
    return result


def quartiles(values: Sequence[float], digits: int) -> dict[str, float]:
    """The median and the values around it."""
    low, median, high = (round(value, digits) for value in statistics.quantiles(values, n=4))
    return {"lower quartile": low, "median": median, "upper quartile": high}


def paired_steps(steps: Mapping[Key, Step], pairs: int, order: random.Random) -> dict[str, Any]:
    """Whole steps with uncertainty weighting beside steps with the plain sum, many times over."""
    few = {key: step for key, step in steps.items() if key == PLAIN or key[0] == "uncertainty"}
    ratios: dict[str, list[float]] = {package: [] for _, package in few}
    for _ in range(pairs):
        for (_, package), ratio in in_turns(few, order, plain_steps=2):
            ratios[package].append(ratio)
    plain_seconds = [seconds_of(steps[PLAIN]) for _ in range(5)]
    return {
        "seconds with the plain sum": round(statistics.median(plain_seconds), 3),
        "time to plain sum": {
            "plain sum itself" if package == PLAIN[1] else package: quartiles(values, 4)
            for package, values in ratios.items()
        },
    }


def host_times(tasks: int, blocks: int, calls: int, order: random.Random) -> dict[str, Any]:
    """Microseconds of uncertainty weighting alone, at given scalar losses."""
    names = [f"task {i}" for i in range(tasks)]
    likelihoods = [ours.Gaussian(), ours.Laplace(), ours.Softmax()]
    losses = {name: torch.rand((), requires_grad=True) for name in names}
    learned = ours.UncertaintyWeighting({name: likelihoods[i % 3] for i, name in enumerate(names)})
    closed = ours.UncertaintyWeighting({name: likelihoods[i % 3] for i, name in enumerate(names)}, closed_form=True)
    theirs = scalarization.UW(tasks)
    objectives: dict[str, tuple[Callable[[], Tensor], Iterable[nn.Parameter]]] = {
        "plain sum": (lambda: _sum(losses), []),
        "ours": (lambda: learned(losses), learned.parameters()),
        "ours, closed form": (lambda: closed(losses), []),
        "TorchJD": (lambda: theirs(torch.stack(list(losses.values()))), theirs.parameters()),
    }

    def bare(objective: Callable[[], Tensor]) -> None:
        for loss in losses.values():
            loss.grad = None
        objective().backward()

    def with_optimiser(objective: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        bare(objective)
        optimizer.step()

    cases: dict[tuple[str, str], Step] = {}
    for name, (objective, parameters) in objectives.items():
        cases[name, "forward and backward"] = partial(bare, objective)
        if learning := list(parameters):
            optimizer = torch.optim.SGD(learning, lr=1e-6)
            cases[name, "with zero_grad and the optimiser's step"] = partial(with_optimiser, objective, optimizer)
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    for call in cases.values():
        for _ in range(calls):
            call()  # warms up
    for _ in range(blocks):
        turns = list(cases)
        order.shuffle(turns)
        for key in turns:
            gc.disable()
            start = time.process_time()
            for _ in range(calls):
                cases[key]()
            taken[key].append((time.process_time() - start) / calls * 1e6)
            gc.enable()
    result: dict[str, Any] = {}
    for (name, what), values in taken.items():
        result.setdefault(what, {})[name] = quartiles(values, 1)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of a step with each method")
    parser.add_argument("--pairs", type=int, default=15, help="rounds of uncertainty weighting alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="2 images of 64x128, one round: whether all runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.pairs = 1, 2
    shape = (2, 64, 128) if arguments.quick else (8, 128, 256)
    warnings.filterwarnings("ignore", "You are solving a parameterized problem", UserWarning)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    order = random.Random(arguments.seed)
    network, batch = Network(), Batch.random(*shape)
    methods = plain_sum() | our_methods(network, batch) | torchjd_methods(network, batch) | libmtl_methods(network)
    steps = {key: step_of(method, network, batch) for key, method in methods.items()}
    host = {tasks: host_times(tasks, 20 if arguments.quick else 100, 20, order) for tasks in (3, 100)}
    whole = whole_steps(network, steps, arguments.rounds, order)
    paired = paired_steps(steps, arguments.pairs, order)
    above = {package: times["median"] for package, times in host[3]["forward and backward"].items()}
    result = {
        "seed": arguments.seed,
        "batch": "{} images of {}x{}".format(*shape),
        "rounds": arguments.rounds,
        "pairs": arguments.pairs,
        "threads": torch.get_num_threads(),
        "environment": describe_environment() | {name: version(name) for name in ("torchjd", "libmtl", "cvxpy")},
        "host time of uncertainty weighting, microseconds": {f"{tasks} tasks": found for tasks, found in host.items()},
        "host time above the plain sum's at 3 tasks, share of a step": {
            package: round((above[package] - above["plain sum"]) * 1e-6 / paired["seconds with the plain sum"], 6)
            for package in ("ours", "ours, closed form", "TorchJD")
        },
        "whole steps with uncertainty weighting": paired,
        "whole steps": whole,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
