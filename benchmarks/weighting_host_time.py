"""The host's time of uncertainty weighting at three tasks beside TorchJD's, and what ours goes into.

python benchmarks/weighting_host_time.py > benchmarks/results/weighting_host_time.json

Forward and backward at given scalar losses, on one thread of the CPU: 150 rounds, in each of which every variant has a
block of 200 calls, in random order. Needs the extra `gradients` (TorchJD).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn
from torchjd import scalarization

from multisigma import Gaussian, Laplace, Softmax, UncertaintyWeighting
from multisigma.training.environment import describe_environment

LIKELIHOODS = {"semantic": Softmax(), "depth": Laplace(), "pose": Gaussian()}
SEED = 0
UNREAD = ", no value read"


class OneVector(UncertaintyWeighting):
    """The noise of all tasks in one parameter, whose momentum would move that of an absent task."""

    def __init__(self) -> None:
        super().__init__(LIKELIHOODS)
        for key in self._keys.values():
            del self._parameters[key]
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    def _parameters_of(self, names: Sequence[str]) -> list[Tensor]:
        return [self.log_variances]


class Parts(UncertaintyWeighting):
    """A graph of the objective's parts, as for likelihoods outside the family, in place of one node."""

    def __init__(self) -> None:
        super().__init__(LIKELIHOODS)
        self._one_node = False


@contextmanager
def nothing_read() -> Iterator[None]:
    """As where values cannot be read without waiting: on an accelerator, and under `torch.compile`."""
    asked = torch.compiler.is_compiling
    torch.compiler.is_compiling = lambda: True
    yield
    torch.compiler.is_compiling = asked


def main() -> None:
    """Measure and print as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    order = random.Random(SEED)
    losses = {name: torch.rand((), requires_grad=True) for name in LIKELIHOODS}
    theirs = scalarization.UW(len(losses))
    ours = {
        "ours": UncertaintyWeighting(LIKELIHOODS),
        "ours, one vector of noise": OneVector(),
        "ours, a graph of its parts": Parts(),
    }
    calls: dict[str, Callable[[], Tensor]] = {name: partial(weighting, losses) for name, weighting in ours.items()}
    calls["TorchJD"] = lambda: theirs(torch.stack(list(losses.values())))
    for name in ("ours", "ours, a graph of its parts"):
        calls[name + UNREAD] = calls[name]
    four = UncertaintyWeighting({**LIKELIHOODS, "normals": Laplace()})
    calls["ours, of four tasks"] = partial(four, losses)
    pairs = {name: (loss, 7) for name, loss in losses.items()}
    calls["ours, pairs (sum, count)"] = partial(ours["ours"], pairs)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(150):
        for name in order.sample(list(calls), len(calls)):
            with nothing_read() if name.endswith(UNREAD) else nullcontext():
                begin = time.process_time()
                for _ in range(200):
                    calls[name]().backward()
                taken[name].append((time.process_time() - begin) / 200 * 1e6)
    quartiles = {name: np.percentile(values, [25, 50, 75]) for name, values in taken.items()}
    ratios = {name: np.percentile(np.divide(values, taken["TorchJD"]), [25, 50, 75]) for name, values in taken.items()}
    print(
        json.dumps(
            {
                "environment": describe_environment() | {"torchjd": version("torchjd")},
                "seed": SEED,
                "microseconds of forward and backward at 3 tasks, quartiles": {
                    name: [round(v, 1) for v in found] for name, found in quartiles.items()
                },
                "to TorchJD in the same round, quartiles": {
                    name: [round(v, 3) for v in found] for name, found in ratios.items()
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
