"""FAMO: Liu, Feng, Stone and Liu, "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.task_state import checked_names
from multisigma.weighting.weighting import (
    AdaptiveWeighting,
    Loss,
    PresentLosses,
    any_labelled,
    masked_sum,
    softmax_of_labelled,
)

_TINY = 1e-8


class FastAdaptiveWeighting(AdaptiveWeighting):
    """Weights under which all losses fall at the same rate: `c sum z log(L - b)`, `z = softmax(w)`, algorithm 2.

    The logits w learn from how much each loss fell in a step, by Adam. The paper measures that on the same batch, with
    a second forward pass: call `update` with its losses after the optimiser's step. Without that call the next batch's
    losses serve, which costs nothing and is noisier.

    Args:
        tasks: The tasks' names.
        lower_bounds: b, the least that each loss can be; zero where not given.
        lr: Adam's learning rate for the logits.
        weight_decay: Adam's weight decay for the logits, the paper's gamma; the default is TorchJD's.

    Raises:
        MultisigmaError: A name is unknown, or `lr` or `weight_decay` is out of range.
    """

    logits: Tensor
    adam_mean: Tensor
    adam_square: Tensor
    adam_steps: Tensor
    before: Tensor
    waiting: Tensor

    def __init__(
        self,
        tasks: Iterable[str],
        lower_bounds: Mapping[str, float] | None = None,
        lr: float = 0.025,
        weight_decay: float = 1e-3,
    ) -> None:
        names, bounds = checked_names(tasks), lower_bounds or {}
        if unknown := [name for name in bounds if name not in names]:
            raise MultisigmaError(f"Parameter `lower_bounds` names unknown tasks {unknown}; there are {list(names)}.")
        super().__init__(names, {name: float(bounds.get(name, 0.0)) for name in names})
        if not lr > 0:
            raise MultisigmaError(f"Parameter `lr` must be positive; found {lr}.")
        if not weight_decay >= 0:
            raise MultisigmaError(f"Parameter `weight_decay` must not be negative; found {weight_decay}.")
        self.lr, self.weight_decay = lr, weight_decay
        zeros = torch.zeros(len(self.tasks), dtype=torch.float32)
        for name in ("logits", "adam_mean", "adam_square", "adam_steps", "before"):
            self.register_buffer(name, zeros.clone())
        # One for tasks whose losses of the last step have not been compared yet. A number: averages of models take no
        # truth values.
        self.register_buffer("waiting", zeros.clone())

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        index = self.index(names)
        if self.training:
            self._learn(index, means.detach(), labelled)
            before, waiting = self.before.clone(), torch.zeros_like(self.waiting)
            before[index] = means.detach().to(before)
            waiting[index] = 1.0 if labelled is None else labelled.to(waiting)
            counts = torch.as_tensor(any_labelled(labelled), device=waiting.device)
            self.renew("before", torch.where(counts, before, self.before))
            self.renew("waiting", torch.where(counts, waiting, self.waiting))
        z = softmax_of_labelled(self.logits[index].to(means), labelled)
        height = (means - self.lowest[index].to(means)).clamp_min(0.0) + _TINY
        c = 1.0 / masked_sum(z / height.detach(), labelled).clamp_min(torch.finfo(means.dtype).tiny)
        self.remember(present, c * z / height)
        return c * masked_sum(z * height.log(), labelled)

    def update(self, losses: Mapping[str, Loss]) -> None:
        """Lets the logits learn from the same batch's losses after the optimiser's step, as the paper does.

        In evaluation mode nothing is learned.

        Args:
            losses: As `forward` takes them.

        Raises:
            MultisigmaError: As `forward` does.
        """
        with torch.no_grad():
            present = self.present(losses)
            if present is not None and self.training:
                self._learn(self.index(present.names), present.means, present.labelled)
                self.renew("waiting", torch.zeros_like(self.waiting))

    def _learn(self, index: slice | list[int] | Tensor, after: Tensor, labelled: Tensor | None) -> None:
        known = torch.zeros_like(self.waiting, dtype=torch.bool)
        known[index] = True if labelled is None else labelled
        known &= self.waiting > 0
        now = torch.zeros_like(self.before)
        now[index] = after.to(now)
        height_before = (self.before - self.lowest).clamp_min(0.0) + _TINY
        height_now = (now - self.lowest).clamp_min(0.0) + _TINY
        fall = (height_before.log() - height_now.log()).where(known, 0.0)
        z = softmax_of_labelled(self.logits, known)
        # The gradient of z . fall by the logits; Adam with weight decay in the gradient, as torch.optim.Adam has it.
        gradient = z * (fall - (z * fall).sum()) + self.weight_decay * self.logits.where(known, 0.0)
        self.renew("adam_steps", self.adam_steps + known)
        first = torch.where(known, 0.9 * self.adam_mean + 0.1 * gradient, self.adam_mean)
        second = torch.where(known, 0.999 * self.adam_square + 0.001 * gradient.square(), self.adam_square)
        self.renew("adam_mean", first)
        self.renew("adam_square", second)
        steps = self.adam_steps.clamp_min(1.0)
        mean, square = first / (1 - 0.9**steps), second / (1 - 0.999**steps)
        self.renew("logits", self.logits - (self.lr * mean / (square.sqrt() + 1e-8)).where(known, 0.0))
