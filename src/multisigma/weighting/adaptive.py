"""The base of methods that compute new weights from each batch's losses."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from multisigma.weighting.base import Weighting
from multisigma.weighting.losses import TaskLosses


class AdaptiveWeighting(Weighting):
    """A weighting whose weights change from step to step. It remembers the last ones for `weights`.

    Args:
        tasks: Names of the tasks.
        lowest_loss: The smallest mean loss that the method accepts.

    Raises:
        MultisigmaError: As for `Weighting`.
    """

    last_weights: Tensor

    def __init__(self, tasks: Iterable[str], lowest_loss: float = -math.inf) -> None:
        super().__init__(tasks, lowest_loss)
        self.register_buffer("last_weights", torch.ones(len(self.tasks), dtype=torch.float32))

    def remember(self, weights: Tensor, batch: TaskLosses) -> None:
        """Keep the labelled tasks' weights of shape (T,), in training mode."""
        if self.training:
            self.replace_buffer(
                "last_weights", weights.detach().to(self.last_weights).where(batch.labelled, self.last_weights)
            )

    @property
    def weights(self) -> dict[str, float]:
        return self.by_name(self.last_weights)
