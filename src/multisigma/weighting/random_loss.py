"""Random loss weighting: Lin, Ye, Zhang and Tsang, "Reasonable Effectiveness of Random Weighting", TMLR 2022."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum


class RandomWeighting(AdaptiveWeighting):
    """The weights of each step are the softmax of standard normal numbers; they sum to 1 over the tasks present.

    The numbers come from the seed and the step alone, so that all processes draw the same and a resumed run goes on
    with the same.

    Args:
        tasks: The tasks' names.
        seed: Seed of the random numbers.
    """

    def __init__(self, tasks: Iterable[str], seed: int = 0) -> None:
        super().__init__(tasks)
        self.seed, self.step = seed, 0

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        if self.training:
            self.step += 1
        drawn = torch.randn(len(self.tasks), generator=generator)[self.index(names)].to(means)
        weights = softmax_of_labelled(drawn, labelled)
        self.remember(names, weights)
        return masked_sum(weights * means, labelled)

    def get_extra_state(self) -> dict[str, int]:
        """What the next numbers come from."""
        return {"seed": self.seed, "step": self.step}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Takes up what `get_extra_state` gave."""
        self.seed, self.step = state["seed"], state["step"]


def softmax_of_labelled(values: Tensor, labelled: Tensor | None) -> Tensor:
    """The softmax (n,) over labelled tasks, zero for the others; all zero where there are none."""
    if labelled is None:
        return values.softmax(0)
    weights = (values - values.where(labelled, -torch.inf).max().nan_to_num(neginf=0.0)).exp().where(labelled, 0.0)
    return weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
