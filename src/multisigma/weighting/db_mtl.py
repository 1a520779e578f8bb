"""The loss part of DB-MTL: Lin et al., "Dual-Balancing for Multi-Task Learning", 2023."""

import math
from collections.abc import Iterable

from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum


class LogWeighting(AdaptiveWeighting):
    """The sum of the losses' logarithms, `log(L + epsilon)`: every task's loss falls at its own scale.

    Up to constants, twice the objective of Gaussian or softmax uncertainty weighting at its optimum over the noise.
    Losses must not be negative.

    Args:
        tasks: The tasks' names.
        epsilon: Keeps the logarithm finite where a loss reaches zero; the paper's official code has 1e-8.

    Raises:
        MultisigmaError: Epsilon is not positive and finite.
    """

    def __init__(self, tasks: Iterable[str], epsilon: float = 1e-8) -> None:
        super().__init__(tasks, lowest_losses=0.0)
        if not 0 < epsilon < math.inf:
            raise MultisigmaError(f"Parameter `epsilon` must be positive and finite; found {epsilon}.")
        self.epsilon = epsilon

    def combine(self, present: PresentLosses) -> Tensor:
        means, labelled = present.means, present.labelled
        self.remember(present, 1.0 / (means.detach() + self.epsilon))
        return masked_sum((means + self.epsilon).log(), labelled)
