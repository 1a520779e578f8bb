"""What the host's time of uncertainty weighting at three tasks goes into: ours with one thing taken away at a time.

python benchmarks/weighting_host_time.py > benchmarks/results/weighting_host_time.json

Forward and backward at given scalar losses, on one thread of the CPU; the least of 30 blocks of 1,000 calls, the
variants in turn. Needs the extra `gradients` (TorchJD).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torchjd import scalarization

from multisigma import Gaussian, Laplace, Softmax, UncertaintyWeighting
from multisigma.training.environment import describe_environment

LIKELIHOODS = {"semantic": Softmax(), "depth": Laplace(), "pose": Gaussian()}


class OneVector(UncertaintyWeighting):
    """The noise of all tasks in one parameter, whose momentum would move that of an absent task."""

    def __init__(self) -> None:
        super().__init__(LIKELIHOODS)
        for key in self._keys.values():
            del self._parameters[key]
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    def _parameters_of(self, names: Sequence[str]) -> list[Tensor]:
        return [self.log_variances]


class Unchecked(UncertaintyWeighting):
    """Looks neither for losses that are not finite nor for noise beyond its bounds."""

    def _look_for_nonfinite(self, names: Sequence[str], means: Tensor) -> None:
        pass

    def _within_bounds(self, s: Tensor) -> tuple[Tensor, None]:
        return s, None


class Inlined(UncertaintyWeighting):
    """The commonest case, with its checks, in one function."""

    def forward(self, losses: Mapping[str, Any], shared: Any = None) -> Tensor:
        totals = [losses[name] for name in self.tasks]
        if losses.keys() != self._index.keys() or any(not isinstance(t, Tensor) or t.ndim for t in totals):
            return super().forward(losses, shared)
        means = torch.stack(totals)
        s = torch.cat(list(self._parameters.values()))  # type: ignore[arg-type]
        low, high = self.bounds
        if not math.isfinite(sum(means.tolist())) or not all(low <= v <= high for v in s.tolist()):
            return super().forward(losses, shared)
        constants: dict[str, Any] = self._buffers
        weight = torch.exp(s * constants["exponent"] + constants["log_factor"])
        return torch.dot(weight, means) + torch.dot(s, constants["half_dimension"])


def main() -> None:
    """Measure and print as JSON."""
    torch.set_num_threads(1)
    losses = {name: torch.rand((), requires_grad=True) for name in LIKELIHOODS}
    theirs = scalarization.UW(len(losses))
    ours = {
        "ours": UncertaintyWeighting(LIKELIHOODS),
        "ours, one vector of noise": OneVector(),
        "ours, without checks": Unchecked(LIKELIHOODS),
        "ours, in one function": Inlined(LIKELIHOODS),
    }
    calls = {name: (lambda weighting=weighting: weighting(losses)) for name, weighting in ours.items()}
    calls["TorchJD"] = lambda: theirs(torch.stack(list(losses.values())))
    least = dict.fromkeys(calls, math.inf)
    for _ in range(30):
        for name, call in calls.items():
            begin = time.process_time()
            for _ in range(1000):
                call().backward()
            least[name] = min(least[name], (time.process_time() - begin) * 1000)
    print(
        json.dumps(
            {
                "environment": describe_environment() | {"torchjd": version("torchjd")},
                "microseconds of forward and backward at 3 tasks": {k: round(v, 1) for k, v in least.items()},
                "to TorchJD": {k: round(v / least["TorchJD"], 3) for k, v in least.items()},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
