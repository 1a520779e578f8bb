"""DWA: Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019."""

from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.checks import check_positive
from multisigma.weighting.losses import TaskLosses


class DynamicWeightAverage(AdaptiveWeighting):
    r"""Dynamic weight average: tasks whose loss falls slowly weigh more; equation 7 of its paper.

    $$ \sum_i w_i L_i, \quad w = n \, \mathrm{softmax}(r / \tau), \quad r_i = \frac{\bar L_i(t - 1)}{\bar L_i(t - 2)} $$

    - $L_i$ is the mean loss of task $i$, at least 0. $\bar L_i(t)$ is its mean over epoch $t$.
    - $\tau$ is the temperature, $n$ the number of labelled tasks.

    The ratio is 1 in the first two epochs. It is also 1 for a task that had no label in one of the last two epochs, or
    a mean loss of 0 in the earlier one. The method deviates from the paper in one point: an epoch is `steps_per_epoch`
    calls in training mode. The method does not know where the data loader's epochs begin.

    Args:
        tasks: Names of the tasks.
        steps_per_epoch: Steps of an epoch.
        temperature: The larger, the more even the weights.

    Raises:
        MultisigmaError: A parameter is not positive.

    Example:
        >>> import torch
        >>> from multisigma import DynamicWeightAverage
        >>> weighting = DynamicWeightAverage(["fast", "slow"], steps_per_epoch=1)
        >>> for step in (1.0, 2.0, 3.0):
        ...     objective = weighting({"fast": torch.tensor(1 / step), "slow": torch.tensor(1.0)})
        >>> weighting.weights["slow"] > weighting.weights["fast"]
        True
    """

    sums: Tensor
    counts: Tensor
    step: Tensor

    def __init__(self, tasks: Iterable[str], steps_per_epoch: int, temperature: float = 2.0) -> None:
        super().__init__(tasks, lowest_loss=0.0)
        if not (isinstance(steps_per_epoch, int) and steps_per_epoch >= 1):
            raise MultisigmaError(
                f"Parameter `steps_per_epoch` must be a whole number from 1. Found {steps_per_epoch!r}."
            )
        check_positive("temperature", temperature)
        self.steps_per_epoch, self.temperature = steps_per_epoch, temperature
        # Rows: the epoch before the last, the last, the present one.
        self.register_buffer("sums", torch.zeros(3, len(self.tasks), dtype=torch.float32))
        self.register_buffer("counts", torch.zeros(3, len(self.tasks), dtype=torch.float32))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def combine(self, batch: TaskLosses) -> Tensor:
        epochs = self.sums[:2] / self.counts[:2].clamp_min(1.0)
        known = (self.counts[:2] > 0).all(0) & (epochs[0] > 0)
        ratios = (epochs[1] / epochs[0].where(known, 1.0)).where(known, 1.0)
        weights = batch.number() * batch.softmax(ratios.to(batch.mean) / self.temperature)
        self.remember(weights, batch)
        if self.training:
            self._add(batch)
        return batch.sum(weights * batch.mean)

    def _add(self, batch: TaskLosses) -> None:
        """Add the batch to the present epoch, and begin another where it ends. A batch without labels is no step."""
        labelled = batch.labelled.to(self.sums)
        step = self.step + batch.labelled.any()
        ended = (step % self.steps_per_epoch == 0) & batch.labelled.any()
        self.replace_buffer("step", step)
        for name, value in (("sums", batch.mean.detach().to(labelled) * labelled), ("counts", labelled)):
            before, last, present = self.get_buffer(name)
            rows = torch.stack([before, last, present + value])
            next_epoch = torch.stack([last, present + value, torch.zeros_like(value)])
            self.replace_buffer(name, next_epoch.where(ended, rows))
