"""Dynamic weight average: Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019."""

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


class DynamicWeightAverage(AdaptiveWeighting):
    """Tasks whose loss falls slowly weigh more: `w = T softmax(r / temperature)`, r being the last two epochs' ratio.

    Equation 7 of the paper. The weights are 1 in the first two epochs, and for a task without a loss in one of them,
    or with a loss of zero in the first, the ratio is 1. They sum to the number of tasks present.

    Args:
        tasks: The tasks' names.
        steps_per_epoch: Steps (calls in training mode) that a mean loss is taken over.
        temperature: The larger, the more even the weights.

    Raises:
        MultisigmaError: A parameter is not positive.
    """

    sums: Tensor
    counts: Tensor
    step: Tensor

    def __init__(self, tasks: Iterable[str], steps_per_epoch: int, temperature: float = 2.0) -> None:
        super().__init__(tasks)
        if steps_per_epoch < 1:
            raise MultisigmaError(f"Parameter `steps_per_epoch` must be at least 1; found {steps_per_epoch}.")
        if not temperature > 0:
            raise MultisigmaError(f"Parameter `temperature` must be positive; found {temperature}.")
        self.steps_per_epoch, self.temperature = steps_per_epoch, temperature
        # Rows: the epoch before the last, the last, the present one.
        self.register_buffer("sums", torch.zeros(3, len(self.tasks), dtype=torch.float32))
        self.register_buffer("counts", torch.zeros(3, len(self.tasks), dtype=torch.float32))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        index = self.index(names)
        seen = (self.counts[:2] > 0).all(0)
        epochs = self.sums[:2] / self.counts[:2].clamp_min(1.0)
        seen &= epochs[0] > 0  # a loss that was zero has no ratio
        ratios = torch.where(seen, epochs[1] / epochs[0].where(seen, 1.0), 1.0)[index]
        number = len(names) if labelled is None else labelled.sum()
        weights = softmax_of_labelled(ratios / self.temperature, labelled) * number
        self.remember(present, weights)
        if self.training:
            self._add(index, means.detach(), labelled)
        return masked_sum(weights * means, labelled)

    def _add(self, index: slice | list[int] | Tensor, means: Tensor, labelled: Tensor | None) -> None:
        ones = torch.ones_like(means) if labelled is None else labelled.to(means)
        counts = any_labelled(labelled)
        step = self.step + counts
        ended = (step % self.steps_per_epoch == 0) & counts
        self.renew("step", step)
        for name, added in (("sums", means * ones), ("counts", ones)):
            kept = getattr(self, name).clone()
            kept[2, index] += added.to(kept)
            self.renew(name, torch.where(ended, torch.cat([kept[1:], torch.zeros_like(kept[:1])]), kept))
