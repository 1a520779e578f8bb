"""RLW: Lin, Ye, Zhang and Tsang, "Reasonable Effectiveness of Random Weighting", TMLR 2022."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.losses import TaskLosses


class RLW(AdaptiveWeighting):
    r"""Random loss weighting: new random weights at each step.

    $$ \sum_i w_i L_i, \quad w = \mathrm{softmax}(z), \quad z_i \sim N(0, 1) $$

    - $L_i$ is the mean loss of task $i$ and $w_i$ its weight. The weights sum to 1 over the labelled tasks.

    It deviates from other implementations in where the numbers come from: they are a hash of the seed and the step. All
    processes draw the same, a resumed run continues the sequence, and torch.compile needs no graph break.

    Args:
        tasks: Names of the tasks.
        seed: Seed of the random numbers.

    Raises:
        MultisigmaError: `seed` does not fit into 64 bits.

    Example:
        >>> import torch
        >>> from multisigma import RLW
        >>> weighting = RLW(["semantic", "depth"], seed=1)
        >>> objective = weighting({"semantic": torch.tensor(1.0), "depth": torch.tensor(1.0)})
        >>> round(objective.item(), 6)
        1.0
    """

    step: Tensor

    def __init__(self, tasks: Iterable[str], seed: int = 0) -> None:
        super().__init__(tasks)
        if not (isinstance(seed, int) and -(2**63) <= seed < 2**63):
            raise MultisigmaError(f"Parameter `seed` must be a whole number from -2^63 and below 2^63. Found {seed!r}.")
        self.seed = seed
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, batch: TaskLosses) -> Tensor:
        weights = batch.softmax(standard_normal(self.seed, self.step, len(self.tasks)).to(batch.mean))
        if self.training:
            self.replace_buffer("step", self.step + batch.labelled.any())
        self.remember(weights, batch)
        return batch.sum(weights * batch.mean)


def standard_normal(seed: Tensor | int, step: Tensor, count: int) -> Tensor:
    """Return standard normal numbers of shape (count,), a function of the seed and the step alone."""
    place = torch.arange(count, device=step.device)
    bits = _hash(_hash(_hash(_hash(seed >> 32) + seed) + step) + place)
    # The midpoints of 2^23 equal parts of (-1, 1). float32 represents each exactly.
    return ((bits >> 9).float() + 0.5).mul(2.0**-22).sub(1.0).erfinv() * 2**0.5


def _hash(x: Any) -> Any:
    """Hash 32 bits to 32 bits, held in int64: lowbias32 of Wellons, "Prospecting for Hash Functions", 2018."""
    bits = 0xFFFFFFFF
    x = x & bits
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & bits
    x = ((x ^ (x >> 15)) * 0x846CA68B) & bits
    return x ^ (x >> 16)
