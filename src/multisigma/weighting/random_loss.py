"""Random loss weighting: Lin, Ye, Zhang and Tsang, "Reasonable Effectiveness of Random Weighting", TMLR 2022."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import (
    AdaptiveWeighting,
    PresentLosses,
    any_labelled,
    masked_sum,
    softmax_of_labelled,
)


class RandomWeighting(AdaptiveWeighting):
    """The weights of each step are the softmax of standard normal numbers; they sum to 1 over the tasks present.

    The numbers come from the seed and the step alone, so that all processes draw the same and a resumed run goes on
    with the same. torch's generators would break a compiled graph, and their state would be no part of ours.

    Args:
        tasks: The tasks' names.
        seed: Seed of the random numbers.

    Raises:
        MultisigmaError: The seed does not fit into 64 bits.
    """

    seed: Tensor
    step: Tensor

    def __init__(self, tasks: Iterable[str], seed: int = 0) -> None:
        super().__init__(tasks)
        if not -(2**63) <= seed < 2**63:
            raise MultisigmaError(f"Parameter `seed` must be at least -2^63 and below 2^63; found {seed}.")
        self.register_buffer("seed", torch.tensor(seed, dtype=torch.int64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        drawn = standard_normal(self.seed, self.step, len(self.tasks))[self.index(names)].to(means)
        if self.training:
            self.renew("step", self.step + any_labelled(labelled))
        weights = softmax_of_labelled(drawn, labelled)
        self.remember(present, weights)
        return masked_sum(weights * means, labelled)


def standard_normal(seed: Tensor, step: Tensor, count: int) -> Tensor:
    """Standard normal numbers (count,) that are a function of the seed and the step, drawn where these are."""
    place = torch.arange(count, device=step.device)
    bits = _mixed(_mixed(_mixed(_mixed(seed >> 32) + seed) + step) + place)
    # The middles of 2^23 equal parts of (0, 1), all of which float32 can tell apart.
    return ((bits >> 9).float() + 0.5).mul(2.0**-22).sub(1.0).erfinv() * 2**0.5


_BITS = 0xFFFFFFFF


def _mixed(x: Tensor) -> Tensor:
    """A hash of 32 bits to 32 bits, held in int64: Wellons, "Prospecting for Hash Functions", 2018, lowbias32."""
    x = x & _BITS
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _BITS
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _BITS
    return x ^ (x >> 16)
