"""UW-SO: Kirchdorfer et al., "Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning", GCPR 2024."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.checks import check_positive
from multisigma.weighting.losses import TaskLosses


class UWSO(AdaptiveWeighting):
    r"""Soft optimal uncertainty weighting: the softmax of the inverse losses.

    $$ \sum_i w_i L_i, \quad w = \mathrm{softmax}\left(\frac{1}{\tau L}\right) $$

    - $L_i$ is the mean loss of task $i$, at least 0. $1 / L_i$ is the weight of $e^{-s} L + s$ at the noise's optimum.
    - $\tau$ is the temperature. The weights have no gradient.

    It is the paper's method as it stands. A task whose loss is zero takes all the weight, and the others get none.

    Args:
        tasks: Names of the tasks.
        temperature: The larger, the more even the weights. The paper searches for the best one on each data set, so the
            default of 1 is not a recommendation.

    Raises:
        MultisigmaError: `temperature` is not positive and finite.

    Example:
        >>> import torch
        >>> from multisigma import UWSO
        >>> weighting = UWSO(["semantic", "depth"], temperature=2.0)
        >>> objective = weighting({"semantic": torch.tensor(1.0), "depth": torch.tensor(1.0)})
        >>> weighting.weights
        {'semantic': 0.5, 'depth': 0.5}
    """

    def __init__(self, tasks: Iterable[str], temperature: float = 1.0) -> None:
        super().__init__(tasks, lowest_loss=0.0)
        check_positive("temperature", temperature)
        self.temperature = temperature

    def combine(self, batch: TaskLosses) -> Tensor:
        smallest = torch.finfo(batch.mean.dtype).tiny ** 0.5
        weights = batch.softmax(1 / (self.temperature * batch.mean.detach().clamp_min(smallest)))
        self.remember(weights, batch)
        return batch.sum(weights * batch.mean)
