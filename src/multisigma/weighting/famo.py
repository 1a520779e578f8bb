"""FAMO: Liu, Feng, Stone and Liu, "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.checks import check_positive, values_by_task
from multisigma.weighting.constants import constant
from multisigma.weighting.losses import Loss, TaskLosses, masked_softmax, reduce_losses

EPSILON = 1e-8


class FAMO(AdaptiveWeighting):
    r"""Fast adaptive multitask optimization: weights under which all losses fall at the same rate; algorithm 2.

    $$ c \sum_i z_i \log(L_i - b_i), \quad z = \mathrm{softmax}(\xi), \quad
       c = \left(\sum_i \frac{z_i}{L_i - b_i}\right)^{-1} $$

    - $L_i$ is the mean loss of task $i$, and $b_i$ its lower bound.
    - $\xi$ is learned by Adam. Its gradient follows from how much each loss fell in a step.

    The paper measures this fall on one batch, with a second forward pass after the optimiser's step. Call `update` with
    the losses of that pass. If `update` is not called, the losses of the next batch take their place. This is cheaper,
    noisier, and not the paper's method. A task whose loss reaches its bound takes all the weight.

    Args:
        tasks: Names of the tasks.
        lower_bounds: The smallest possible loss by task name; 0 where not given.
        lr: Adam's learning rate.
        weight_decay: Adam's weight decay, the paper's gamma. The default is TorchJD's.
        second_pass: Whether `needs_update` asks the training loop for the second forward pass.

    Raises:
        MultisigmaError: A name is unknown, or a parameter is out of its range.

    Example:
        >>> import torch
        >>> from multisigma import FAMO
        >>> weighting = FAMO(["slow", "fast"])
        >>> objective = weighting({"slow": torch.tensor(1.0), "fast": torch.tensor(1.0)})
        >>> weighting.update({"slow": torch.tensor(0.9), "fast": torch.tensor(0.1)})
        >>> objective = weighting({"slow": torch.tensor(1.0), "fast": torch.tensor(1.0)})
        >>> weighting.weights["slow"] > weighting.weights["fast"]
        True
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
        second_pass: bool = True,
    ) -> None:
        super().__init__(tasks)
        self.needs_update = second_pass
        check_positive("lr", lr)
        if not 0 <= weight_decay < math.inf:
            raise MultisigmaError(f"Parameter `weight_decay` must be finite and not negative. Found {weight_decay}.")
        self.lr, self.weight_decay = lr, weight_decay
        self.lower_bounds = tuple(values_by_task(self.tasks, "lower_bounds", lower_bounds or {}, 0.0))
        # A bound may round up or down in float32. Accept a loss at the exact bound and one at the rounded bound.
        rounded = torch.tensor(self.lower_bounds, dtype=torch.float32, device="cpu").tolist()
        self.lowest_losses = list(map(min, self.lower_bounds, rounded))
        for name in ("logits", "adam_mean", "adam_square", "adam_steps", "before"):
            self.register_buffer(name, torch.zeros(len(self.tasks), dtype=torch.float32))
        # 1 for tasks whose loss in `before` still has to be compared. A float, because averages of weights (EMA, SWA)
        # cannot take booleans.
        self.register_buffer("waiting", torch.zeros(len(self.tasks), dtype=torch.float32))

    def combine(self, batch: TaskLosses) -> Tensor:
        if self.training:
            self._learn(batch)
            # On an accelerator `_check` misses most losses that are not finite. Stored in `before`, such a loss would
            # spoil the next comparison.
            known = batch.labelled & batch.mean.isfinite()
            self.replace_buffer("before", batch.mean.detach().to(self.before).where(known, self.before))
            # After a batch without labels, keep the older losses for the next comparison.
            self.replace_buffer("waiting", known.to(self.waiting).where(known.any(), self.waiting))
        z = batch.softmax(self.logits.to(batch.mean))
        height = self._height(batch.mean)
        c = 1 / batch.sum(z / height.detach()).clamp_min(torch.finfo(z.dtype).tiny)
        self.remember(c * z / height, batch)
        return c * batch.sum(z * height.log())

    def update(self, losses: Mapping[str, Loss]) -> None:
        """Learn from the losses of the same batch, computed again after the optimiser's step.

        In evaluation mode this only checks the losses.

        Args:
            losses: As `forward` takes them.

        Raises:
            MultisigmaError: As for `forward`; or there was no `forward` in training mode before.
        """
        with torch.no_grad():
            batch = reduce_losses(*self._collect(losses))
            self._check(batch)
            if not self.training:
                return
            if (
                batch.mean.is_cpu
                and not torch.compiler.is_compiling()
                and not self.waiting.any()
                and any(batch.present)
            ):
                raise MultisigmaError(
                    "FAMO's `update` must follow a call of the weighting in training mode: it compares the losses "
                    "before and after the optimiser's step. Found none since the last `update`."
                )
            self._learn(batch)
            self.replace_buffer("waiting", torch.zeros_like(self.waiting))

    def _height(self, loss: Tensor) -> Tensor:
        """Return how far each loss is above its bound, plus epsilon; shapes (T,)."""
        return (loss - constant(self.lower_bounds, loss.device).to(loss)).clamp_min(0.0) + EPSILON

    def _learn(self, batch: TaskLosses) -> None:
        """Take a step of Adam on the logits of the tasks that have a loss before and after."""
        known = (self.waiting > 0) & batch.labelled & batch.mean.isfinite()
        fall = self._height(self.before).log() - self._height(batch.mean.detach().to(self.before)).log()
        fall = fall.where(known, 0.0)
        z = masked_softmax(self.logits, known)
        # The gradient of `(z * fall).sum()` with respect to the logits, with weight decay as in torch.optim.Adam.
        gradient = z * (fall - (z * fall).sum()) + self.weight_decay * self.logits
        steps = self.adam_steps + known
        mean = torch.where(known, 0.9 * self.adam_mean + 0.1 * gradient, self.adam_mean)
        square = torch.where(known, 0.999 * self.adam_square + 0.001 * gradient.square(), self.adam_square)
        step = mean / (1 - 0.9**steps) / ((square / (1 - 0.999**steps)).sqrt() + 1e-8)
        self.replace_buffer("logits", (self.logits - self.lr * step).where(known, self.logits))
        self.replace_buffer("adam_steps", steps)
        self.replace_buffer("adam_mean", mean)
        self.replace_buffer("adam_square", square)
