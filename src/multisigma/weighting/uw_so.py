"""UW-SO: Kirchdorfer et al., "Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning", GCPR 2024."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum, softmax_of_labelled


class SoftOptimalUncertaintyWeighting(AdaptiveWeighting):
    """The weights are the softmax of the losses' inverses, `softmax(1 / (temperature L))`; losses must not be negative.

    The inverse loss is the weight of uncertainty weighting at its optimum over the noise; the softmax evens it out.

    Args:
        tasks: The tasks' names.
        temperature: The larger, the more even; the paper chooses it for each data set.

    Raises:
        MultisigmaError: The temperature is not positive.
    """

    def __init__(self, tasks: Iterable[str], temperature: float = 1.0) -> None:
        super().__init__(tasks, lowest_losses=0.0)
        if not temperature > 0:
            raise MultisigmaError(f"Parameter `temperature` must be positive; found {temperature}.")
        self.temperature = temperature

    def combine(self, present: PresentLosses) -> Tensor:
        means, labelled = present.means, present.labelled
        inverse = 1.0 / (self.temperature * means.detach().clamp_min(torch.finfo(means.dtype).tiny ** 0.5))
        weights = softmax_of_labelled(inverse, labelled)
        self.remember(present, weights)
        return masked_sum(weights * means, labelled)
