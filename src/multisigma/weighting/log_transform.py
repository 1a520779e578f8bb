"""The loss part of DB-MTL: Lin et al., "Dual-Balancing for Multi-Task Learning", arXiv 2308.12029, 2023."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.checks import check_positive
from multisigma.weighting.losses import TaskLosses


class LogTransform(AdaptiveWeighting):
    r"""The sum of the losses' logarithms, so that each loss falls at its own scale.

    $$ \sum_i \log(L_i + \epsilon) $$

    - $L_i$ is the mean loss of task $i$, at least 0.
    - $\epsilon$ keeps the logarithm finite where a loss reaches zero.

    It is twice the objective of Gaussian or softmax uncertainty weighting at the noise's optimum, up to constants. It
    deviates from DB-MTL in leaving out the method's other part, which balances the tasks' gradients.

    Args:
        tasks: Names of the tasks.
        epsilon: The paper's official code has 1e-8.

    Raises:
        MultisigmaError: `epsilon` is not positive and finite.

    Example:
        >>> import torch
        >>> from multisigma import LogTransform
        >>> weighting = LogTransform(["semantic", "depth"])
        >>> round(weighting({"semantic": torch.tensor(2.0), "depth": torch.tensor(0.5)}).item(), 4)
        0.0
    """

    def __init__(self, tasks: Iterable[str], epsilon: float = 1e-8) -> None:
        super().__init__(tasks, lowest_loss=0.0)
        check_positive("epsilon", epsilon)
        self.epsilon = epsilon

    def combine(self, batch: TaskLosses) -> Tensor:
        self.remember(1 / (batch.mean + self.epsilon), batch)
        return batch.sum(torch.log(batch.mean + self.epsilon))
