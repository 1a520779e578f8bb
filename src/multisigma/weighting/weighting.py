"""What every weighting shares: losses by task name in, one scalar objective out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

from multisigma.errors import MultisigmaError

Loss = Tensor | tuple[Tensor, Tensor | int | float] | None
"""A task's loss in a batch: its mean as a scalar tensor, a pair (sum over elements, number of elements), or None."""


def mean_loss(loss: Tensor | tuple[Tensor, Tensor | int | float]) -> tuple[Tensor, Tensor]:
    """The mean over labelled elements, and whether there were any.

    Args:
        loss: A scalar mean, or a pair (sum, count). Under data parallelism the count of a pair is the average over the
            processes, so that the processes' averaged gradients are those of the mean over all their labelled elements.

    Returns:
        The mean as a scalar (zero, with a graph, where the count is zero), and a scalar bool: was something labelled?
    """
    if isinstance(loss, Tensor):
        return loss, torch.ones((), dtype=torch.bool, device=loss.device)
    total, count = loss
    count = torch.as_tensor(count, dtype=torch.float32, device=total.device)
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        count = count.detach().clone()
        distributed.all_reduce(count)
        count = count / distributed.get_world_size()
    return total / torch.where(count > 0, count, 1.0), count > 0


class Weighting(nn.Module, ABC):
    """Sums the tasks' losses, each with its weight.

    Args:
        tasks: The tasks' names.

    Raises:
        MultisigmaError: There is no task, or a name is empty or holds a dot (torch forbids dots in parameter names).
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        if not self.tasks:
            raise MultisigmaError("A weighting needs at least one task; found none.")
        for name in self.tasks:
            if not name or "." in name:
                raise MultisigmaError(f"Task name {name!r}: a name must be non-empty and hold no dot; rename the task.")

    def forward(self, losses: Mapping[str, Loss]) -> Tensor:
        """The objective to call `backward()` on.

        Args:
            losses: For each task present in the batch its mean loss as a scalar, or a pair (sum over labelled elements,
                their number). A task with no key, `None` or the count zero contributes nothing, not even its noise
                term.

        Returns:
            A scalar tensor. With no task present it is zero, with a graph where a loss had one.

        Raises:
            MultisigmaError: A key names no task of this weighting, or a loss is no scalar.
        """
        unknown = [name for name in losses if name not in self.tasks]
        if unknown:
            raise MultisigmaError(f"Losses for unknown tasks {unknown}; this weighting has {list(self.tasks)}.")
        objective: Tensor | None = None
        for name in self.tasks:
            loss = losses.get(name)
            if loss is None:
                continue
            value = loss if isinstance(loss, Tensor) else loss[0]
            if value.ndim:
                raise MultisigmaError(f"Task {name!r}: its loss must be a scalar; found shape {tuple(value.shape)}.")
            mean, labelled = mean_loss(loss)
            term = torch.where(labelled, self.term(name, mean), 0.0 * mean)
            objective = term if objective is None else objective + term
        if objective is None:
            # Every parameter at weight zero: a loop that calls backward() on each batch goes on.
            objective = sum((0.0 * p.sum() for p in self.parameters()), start=torch.zeros((), requires_grad=True))
        return objective

    @abstractmethod
    def term(self, name: str, mean: Tensor) -> Tensor:
        """The task's part of the objective, for the scalar mean loss of a batch in which it is labelled."""

    @property
    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Each task's effective multiplier, for logs."""

    @property
    def sigma(self) -> dict[str, float]:
        """Each task's noise scale, for logs; empty for a weighting without noise."""
        return {}

    def param_groups(self, lr: float | None = None) -> list[dict[str, Any]]:
        """Optimiser groups of this weighting's parameters, free of weight decay; none if it has no parameters.

        Args:
            lr: The groups' own learning rate; without it they take the optimiser's.

        Raises:
            MultisigmaError: The learning rate is not positive and finite.
        """
        if lr is not None and not (math.isfinite(lr) and lr > 0):
            raise MultisigmaError(f"Parameter `lr` must be positive and finite; found {lr}.")
        parameters = list(self.parameters())
        if not parameters:
            return []
        return [{"params": parameters, "weight_decay": 0.0, **({} if lr is None else {"lr": lr})}]
