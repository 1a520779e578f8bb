"""The loss part of DB-MTL: Lin et al., "Dual-Balancing for Multi-Task Learning", 2023."""

from collections.abc import Iterable

from torch import Tensor

from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum


class LogWeighting(AdaptiveWeighting):
    """The sum of the losses' logarithms, `log(L + epsilon)`: every task's loss falls at its own scale.

    Up to constants, twice the objective of Gaussian or softmax uncertainty weighting at its optimum over the noise.
    Losses must not be negative.

    Args:
        tasks: The tasks' names.
        epsilon: Keeps the logarithm finite where a loss reaches zero; the paper's official code has 1e-8.
    """

    def __init__(self, tasks: Iterable[str], epsilon: float = 1e-8) -> None:
        super().__init__(tasks)
        self.epsilon = epsilon
        self.nonnegative_tasks = frozenset(self.tasks)

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        self.remember(names, 1.0 / (means.detach() + self.epsilon))
        return masked_sum((means + self.epsilon).log(), labelled)
