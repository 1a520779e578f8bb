"""GradNorm: Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in
Deep Multitask Networks", ICML 2018."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.base import Weighting
from multisigma.weighting.checks import check_positive
from multisigma.weighting.losses import TaskLosses, several_processes
from multisigma.weighting.shared_gradients import are_replicated, mean_over_processes, shared_gradients

LOWEST_WEIGHT = 1e-3


class GradNorm(Weighting):
    r"""GradNorm: weights under which the tasks train at similar rates; algorithm 1 of its paper.

    $$ \sum_i w_i L_i, \quad
       w \leftarrow w - \eta \, \nabla_w \sum_i \left| w_i G_i - \overline{w G} \; r_i^\alpha \right| $$

    - $L_i$ is the mean loss of task $i$, at least 0, and $w_i$ its weight. The weights sum to the number of tasks.
    - $G_i$ is the norm of its gradient at what the tasks share. $\overline{w G}$ is the mean over tasks.
    - $r_i$ is $L_i$ divided by its first value, then divided by the tasks' mean of this ratio. $\eta$ is `lr`.

    Call it with `shared`; the paper takes the weights of the last shared layer. This implementation deviates from the
    paper as follows:

    - The weights take a step of plain gradient descent, before they weigh the batch's losses.
    - After this step, each weight is at least 0.001. Then they are scaled back to their previous sum, so a weight may
      end slightly below 0.001.
    - $r_i$ divides by the first loss above zero, which may come after the first step. The paper suggests `log C`
      instead for a cross entropy over C classes whose first value is unstable.
    - A task without a label keeps its weight.

    Args:
        tasks: Names of the tasks.
        alpha: Strength of the pull to a common rate of training.
        lr: Learning rate of the weights.

    Raises:
        MultisigmaError: `lr` is not positive and finite, or `alpha` is negative or not finite.

    Example:
        >>> import torch
        >>> from multisigma import GradNorm
        >>> weighting, encoder = GradNorm(["small", "large"]), torch.nn.Linear(4, 4)
        >>> features = encoder(torch.ones(2, 4))
        >>> losses = {"small": features.square().mean(), "large": 9 * features.square().mean()}
        >>> objective = weighting(losses, shared=encoder.parameters())
        >>> weighting.weights["small"] > weighting.weights["large"]
        True
    """

    task_weights: Tensor
    first_losses: Tensor

    def __init__(self, tasks: Iterable[str], alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks, lowest_loss=0.0)
        if not 0 <= alpha < math.inf:
            raise MultisigmaError(f"Parameter `alpha` must be finite and not negative. Found {alpha}.")
        check_positive("lr", lr)
        self.alpha, self.lr = alpha, lr
        self.register_buffer("task_weights", torch.ones(len(self.tasks), dtype=torch.float32))
        # NaN before a task's first loss above zero.
        self.register_buffer("first_losses", torch.full((len(self.tasks),), torch.nan, dtype=torch.float32))

    def combine(self, batch: TaskLosses) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self._update_weights(batch)
        return batch.sum(self.task_weights.to(batch.mean) * batch.mean)

    @property
    def weights(self) -> dict[str, float]:
        return self.by_name(self.task_weights)

    def _update_weights(self, batch: TaskLosses) -> None:
        norms = self._norms(batch).to(self.task_weights)
        losses, labelled = batch.mean.detach().to(self.task_weights), batch.labelled
        is_first = self.first_losses.isnan() & labelled & losses.isfinite() & (losses > 0)
        first = losses.where(is_first, self.first_losses)
        self.replace_buffer("first_losses", first)
        weights = self.task_weights
        scaled = weights * norms
        ratios = (losses / first).where(labelled & ~first.isnan(), 0.0)
        rates = ratios / (ratios.sum() / batch.number()).clamp_min(1e-12)
        target = batch.sum(scaled) / batch.number() * rates**self.alpha
        # The gradient of sum |w G - target| by w, with the target held constant.
        stepped = (weights - self.lr * (scaled - target).sign() * norms).clamp_min(LOWEST_WEIGHT)
        # Absent tasks keep their weights. The other weights keep their sum. If a gradient is not finite, all stay.
        stepped = stepped * (batch.sum(weights) / batch.sum(stepped).clamp_min(1e-12))
        self.replace_buffer("task_weights", stepped.where(labelled & norms.isfinite().all(), weights))

    def _norms(self, batch: TaskLosses) -> Tensor:
        """Return the norm of each task's gradient over the data of all processes, shape (T,)."""
        shared, gradients = shared_gradients(batch, self.tasks, "GradNorm")
        if not several_processes():
            return gradients.norm(dim=1)
        if are_replicated(shared):
            return mean_over_processes(gradients).norm(dim=1)
        # Each process has features of its own. A norm over the whole batch's features sums over all processes.
        squares = gradients.square().sum(1)
        distributed.all_reduce(squares)
        return squares.sqrt() / distributed.get_world_size()
