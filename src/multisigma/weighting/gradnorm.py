"""GradNorm: Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in
Deep Multitask Networks", ICML 2018."""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.shared_gradients import have_copies_in_processes, mean_over_processes, shared_gradients
from multisigma.weighting.weighting import PresentLosses, Weighting, masked_sum, several_processes


class GradNormWeighting(Weighting):
    """Weights under which the tasks' gradients have norms that go with how far each loss still is, algorithm 1.

    Call with `shared`, for which the paper takes the weights of the last shared layer. The weights take a gradient step
    of their own at each call in training mode, and sum to the number of tasks. Losses must not be negative.

    Args:
        tasks: The tasks' names.
        alpha: The strength with which tasks are pulled to a common rate of training.
        lr: The weights' learning rate.

    Raises:
        MultisigmaError: `lr` is not positive, or `alpha` is negative.
    """

    task_weights: Tensor
    first_losses: Tensor

    def __init__(self, tasks: Iterable[str], alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks, lowest_losses=0.0)
        if not alpha >= 0:
            raise MultisigmaError(f"Parameter `alpha` must not be negative; found {alpha}.")
        if not lr > 0:
            raise MultisigmaError(f"Parameter `lr` must be positive; found {lr}.")
        self.alpha, self.lr = alpha, lr
        self.register_buffer("task_weights", torch.ones(len(self.tasks), dtype=torch.float32))
        # NaN before a task's first loss above zero.
        self.register_buffer("first_losses", torch.full((len(self.tasks),), torch.nan, dtype=torch.float32))

    def combine(self, present: PresentLosses) -> Tensor:
        index, means = self.index(present.names), present.means
        if self.training and torch.is_grad_enabled():
            self._learn(present)
        return masked_sum(self.task_weights[index].to(means) * means, present.labelled)

    @property
    def weights(self) -> dict[str, float]:
        return self.by_name(self.task_weights)

    def _learn(self, present: PresentLosses) -> None:
        index = self.index(present.names)
        norms = self._norms(present).to(self.task_weights)
        losses = present.means.detach().to(self.task_weights)
        labelled = torch.ones_like(losses, dtype=torch.bool) if present.labelled is None else present.labelled
        first = self.first_losses[index]
        first = torch.where(first.isnan() & labelled & (losses > 0), losses, first)
        self.first_losses[index] = first
        count = labelled.sum().clamp_min(1)
        weights = self.task_weights[index]
        scaled = weights * norms
        ratios = (losses / first).where(labelled & ~first.isnan(), 0.0)
        rates = ratios / (ratios.sum() / count).clamp_min(1e-12)
        target = scaled.where(labelled, 0.0).sum() / count * rates**self.alpha
        # The gradient of sum |w G - target| by w, the target held constant.
        stepped = (weights - self.lr * (scaled - target).sign() * norms).clamp_min(1e-3)
        stepped = stepped.where(labelled, 0.0)
        # What the absent tasks have is theirs.
        stepped = stepped * (weights.where(labelled, 0.0).sum() / stepped.sum().clamp_min(1e-12))
        updated = self.task_weights.clone()
        updated[index] = stepped.where(labelled, weights)
        self.renew("task_weights", updated)

    def _norms(self, present: PresentLosses) -> Tensor:
        """Each task's norm of the gradient of its mean over all processes, shape (n,)."""
        shared, own = shared_gradients(present, "GradNorm")
        if have_copies_in_processes(shared):
            return mean_over_processes(own).norm(dim=1)
        if not several_processes():
            return own.norm(dim=1)
        # Each process has features of its own; together they are the whole batch's.
        squares = own.square().sum(1)
        distributed.all_reduce(squares)
        return squares.sqrt() / distributed.get_world_size()
