"""The host's time and the lines of code of every weighting, beside TorchJD's uncertainty weighting.

python benchmarks/weighting_host_time.py [--rounds 100] > benchmarks/results/weighting_host_time.json

Forward and backward at given scalar losses, on one thread of the CPU, in processor time: in each round every
method has a block of 100 calls, in random order. Lines of code are those with a token that is neither a comment nor a
docstring. Needs the extra `gradients` (TorchJD).

The objective by hand joins losses and parameters, one for each task, and adds up, without any check. No weighting with
a parameter for each task can be faster.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from layers import lines_of_code
from numpy.typing import NDArray
from torch import Tensor
from torchjd import scalarization

import multisigma
from multisigma import weighting as library
from multisigma.training.environment import describe_environment

SEED = 0
TASKS = ["semantic", "depth", "pose"]
LIKELIHOODS = dict(zip(TASKS, (multisigma.Softmax(), multisigma.Laplace(), multisigma.Gaussian()), strict=True))


def methods() -> dict[str, multisigma.Weighting]:
    """Return the weightings that do not look at gradients."""
    return {
        "UncertaintyWeighting": multisigma.UncertaintyWeighting(LIKELIHOODS),
        "UncertaintyWeighting, normalised": multisigma.UncertaintyWeighting(LIKELIHOODS, normalise=1.0),
        "UncertaintyWeighting, closed form": multisigma.UncertaintyWeighting(LIKELIHOODS, closed_form=True),
        "RevisedUncertaintyWeighting": multisigma.RevisedUncertaintyWeighting(TASKS),
        "IMTLL": multisigma.IMTLL(TASKS),
        "EqualWeighting": multisigma.EqualWeighting(TASKS),
        "FixedWeighting": multisigma.FixedWeighting(dict.fromkeys(TASKS, 0.3)),
        "RLW": multisigma.RLW(TASKS),
        "DynamicWeightAverage": multisigma.DynamicWeightAverage(TASKS, steps_per_epoch=100),
        "GLS": multisigma.GLS(TASKS),
        "UWSO": multisigma.UWSO(TASKS),
        "FAMO": multisigma.FAMO(TASKS),
        "SmoothTchebycheff": multisigma.SmoothTchebycheff(TASKS),
        "LogTransform": multisigma.LogTransform(TASKS),
    }


def host_times(calls: dict[str, Callable[[], Tensor]], rounds: int, number: int) -> dict[str, list[float]]:
    """Return each call's microseconds in every round."""
    order = random.Random(SEED)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in order.sample(list(calls), len(calls)):
            begin = time.process_time()
            for _ in range(number):
                calls[name]().backward()
            taken[name].append((time.process_time() - begin) / number * 1e6)
    return taken


def by_hand(losses: dict[str, Tensor], parameters: list[Tensor]) -> Tensor:
    """Return the sum of exp(-s) L + s, without any check."""
    log_variance = torch.cat(parameters)
    return (torch.exp(-log_variance) * torch.stack(list(losses.values())) + log_variance).sum()


def quartiles(values: Sequence[float] | NDArray[np.float64], digits: int) -> list[float]:
    """Return the quartiles."""
    return [round(float(value), digits) for value in np.percentile(values, [25, 50, 75])]


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    warnings.filterwarnings("ignore", message=".*off by more than a factor")  # no optimiser moves the noise here
    losses = {name: torch.rand((), requires_grad=True) for name in TASKS}
    theirs = scalarization.UW(len(losses))
    calls: dict[str, Callable[[], Tensor]] = {name: partial(method, losses) for name, method in methods().items()}
    calls["TorchJD's UW"] = lambda: theirs(torch.stack(list(losses.values())))
    pairs = {name: (loss, torch.tensor(7)) for name, loss in losses.items()}
    calls["UncertaintyWeighting, pairs"] = partial(multisigma.UncertaintyWeighting(LIKELIHOODS), pairs)
    many = {f"task {i}": torch.rand((), requires_grad=True) for i in range(100)}
    hundred = multisigma.UncertaintyWeighting(dict.fromkeys(many, multisigma.Laplace()))
    taken = host_times(calls, rounds, 100)
    theirs_of_many = scalarization.UW(len(many))
    calls_of_many: dict[str, Callable[[], Tensor]] = {
        "UncertaintyWeighting": partial(hundred, many),
        "TorchJD's UW": lambda: theirs_of_many(torch.stack(list(many.values()))),
        "by hand, a parameter for each task": partial(
            by_hand, many, [torch.zeros(1, requires_grad=True) for _ in many]
        ),
    }
    taken_of_many = host_times(calls_of_many, rounds, 20)
    files = sorted(Path(inspect.getfile(library)).parent.glob("*.py"))
    print(
        json.dumps(
            {
                "environment": describe_environment() | {"torchjd": version("torchjd")},
                "seed": SEED,
                "microseconds of forward and backward at 3 tasks, quartiles": {
                    name: quartiles(values, 1) for name, values in taken.items()
                },
                "to TorchJD's UW in the same round, quartiles": {
                    name: quartiles(np.divide(values, taken["TorchJD's UW"]), 3) for name, values in taken.items()
                },
                "milliseconds at 100 tasks, quartiles": {
                    name: quartiles(np.divide(values, 1e3), 3) for name, values in taken_of_many.items()
                },
                "to TorchJD's UW at 100 tasks in the same round, quartiles": quartiles(
                    np.divide(taken_of_many["UncertaintyWeighting"], taken_of_many["TorchJD's UW"]), 3
                ),
                "lines of code": {path.name: lines_of_code(path) for path in files},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
