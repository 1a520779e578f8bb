"""Geometric loss: Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for
Multi-Task Learning", CVPR workshops 2019."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum


class GeometricWeighting(AdaptiveWeighting):
    """The geometric mean of the losses of the tasks present; losses must not be negative.

    A loss at zero would stop all the others: each is taken to be at least 1e-8.

    Args:
        tasks: The tasks' names.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(tasks, lowest_losses=0.0)

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        count = len(names) if labelled is None else labelled.sum().clamp_min(1)
        at_least = means.clamp_min(1e-8)
        objective = (masked_sum(at_least.log(), labelled) / count).exp()
        self.remember(present, (objective / (count * at_least)).where(means >= 1e-8, 0.0))
        return objective if labelled is None else torch.where(labelled.any(), objective, 0.0)
