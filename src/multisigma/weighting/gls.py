"""GLS: Chennupati, Sistu, Yogamani and Rawashdeh, "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss
Strategy for Multi-Task Learning", CVPR workshops 2019."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.losses import TaskLosses

LOWEST = 1e-8


class GLS(AdaptiveWeighting):
    r"""Geometric loss strategy: the geometric mean of the losses.

    $$ \left(\prod_i L_i\right)^{1/n} $$

    - $L_i$ is the mean loss of task $i$, at least 0.
    - $n$ is the number of labelled tasks.

    It deviates from the paper in one point: each loss is taken to be at least 1e-8. A loss of zero would make the
    objective zero, and the gradients of all other tasks too.

    Args:
        tasks: Names of the tasks.

    Raises:
        MultisigmaError: As for `Weighting`.

    Example:
        >>> import torch
        >>> from multisigma import GLS
        >>> weighting = GLS(["semantic", "depth"])
        >>> round(weighting({"semantic": torch.tensor(2.0), "depth": torch.tensor(8.0)}).item(), 4)
        4.0
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(tasks, lowest_loss=0.0)

    def combine(self, batch: TaskLosses) -> Tensor:
        number, loss = batch.number(), batch.mean.clamp_min(LOWEST)
        objective = torch.exp(batch.sum(loss.log()) / number)
        self.remember((objective / (number * loss)).where(batch.mean >= LOWEST, 0.0), batch)
        return objective.where(batch.labelled.any(), 0.0)
