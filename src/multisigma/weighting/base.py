"""The base of all weightings: the losses of a batch go in, one scalar objective comes out.

A call has four steps: collect the losses, reduce them over processes, check them, combine them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from multisigma.errors import DivergenceError, MultisigmaError
from multisigma.weighting.checks import check_loss, check_names, check_pair, check_positive, check_shared, listed
from multisigma.weighting.losses import Loss, TaskLosses, reduce_losses, several_processes
from multisigma.weighting.task_state import match_tasks, names_as_tensor

CHECK_EVERY = 100
"""On an accelerator the losses are checked once in this many calls, because each check waits for the device."""


class Weighting(nn.Module, ABC):
    """Weigh the losses of several tasks and add them up.

    A subclass defines `combine` and `weights`. It keeps its state in buffers, so that `state_dict` holds it. A buffer
    with values for each task has the tasks as its last dimension. A buffer with one number for all tasks is a scalar.
    Buffers and parameters stay in float32 when the model is cast to half precision.

    Args:
        tasks: Names of the tasks.
        lowest_loss: The smallest mean loss that the method accepts. A smaller one is an error.

    Raises:
        MultisigmaError: There is no task, or a name is not a string, is empty, has a dot or a line break, or is
            repeated.
    """

    home: Tensor
    needs_update = False
    """Whether the training loop should call `update` after each step of the optimiser."""

    def __init__(self, tasks: Iterable[str], lowest_loss: float = -math.inf) -> None:
        super().__init__()
        self.tasks = check_names(tasks)
        self.lowest_losses = [lowest_loss] * len(self.tasks)
        self.calls = 0
        self.register_buffer("home", torch.empty(0, dtype=torch.float32), persistent=False)  # holds the device
        self.register_load_state_dict_pre_hook(match_tasks)  # type: ignore[no-untyped-call]

    if TYPE_CHECKING:  # nn.Module types its call as Any

        def __call__(self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None) -> Tensor: ...

    def forward(self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None) -> Tensor:
        """Return the objective to call `backward()` on.

        Where torch.distributed runs, call this in every process at every step: one all-reduce computes each mean over
        the labelled elements of all processes. A loss given as a mean counts as one element. DDP and FSDP average the
        processes' gradients. With these means, the average is the gradient of one process with all the data.

        Args:
            losses: Each task's loss by name. A task that is missing, None or has a count of 0 contributes nothing, not
                even its noise term.
            shared: What the tasks share, for methods that look at gradients: the encoder's parameters, or the features
                that it hands to the tasks. Other methods ignore it.

        Returns:
            A scalar. It is zero if no task has a label. `backward()` then works and adds nothing to any gradient.

        Raises:
            MultisigmaError: A name is unknown; a loss is not a real-valued scalar, or on another device than the
                weighting; a count is negative or not finite; a mean loss is not finite or too low for the method. The
                means are checked at every step on the CPU, every 100th on an accelerator, and never in a compiled
                graph.
        """
        batch = reduce_losses(*self._collect(losses), check_shared(shared))
        if not torch.compiler.is_compiling():
            self.calls += 1
        self._check(batch)
        objective = self.combine(batch)
        if objective.requires_grad or torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return objective
        # The objective has no graph. That is right if this batch has no label, or if only other processes have labels.
        # `backward()` must then still work. Otherwise a loss was detached by mistake, and `backward()` should raise.
        return objective if any(batch.present) and not several_processes() else objective.requires_grad_()

    @abstractmethod
    def combine(self, batch: TaskLosses) -> Tensor:
        """Return the objective of a batch, a scalar."""

    def update(self, losses: Mapping[str, Loss]) -> None:
        """Learn from the losses of the same batch, computed again after the optimiser's step. By default do nothing."""

    @property
    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Each task's weight: the derivative of the objective with respect to its mean loss. Waits for the device."""

    @property
    def sigma(self) -> dict[str, float]:
        """Each task's noise scale. Empty for a method that has none. Waits for the device."""
        return {}

    @property
    def noise(self) -> dict[str, float]:
        """One over each task's weight, for every method. The paper's figures 6 and 7 call this noise."""
        return inverse(self.weights)

    def log(self) -> dict[str, float]:
        """Return weights, noise and sigma as one row for a log: `weight/TASK`, `noise/TASK`, `sigma/TASK`."""
        weights = self.weights
        parts = {"weight": weights, "noise": inverse(weights), "sigma": self.sigma}
        return {f"{part}/{task}": value for part, values in parts.items() for task, value in values.items()}

    def param_groups(
        self,
        model: nn.Module | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        noise_lr: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups: the model's, and this weighting's without weight decay.

        Weight decay would pull every sigma towards 1. If the model contains the weighting, the weighting's parameters
        are in the second group only.

        Args:
            model: The model. None for the weighting's group alone.
            lr: Learning rate of both groups. None for that of the optimiser.
            weight_decay: Weight decay of the model. None for that of the optimiser.
            noise_lr: Learning rate of the weighting's group. None for `lr`.

        Raises:
            MultisigmaError: A learning rate is not positive and finite.

        Example:
            >>> import torch
            >>> from multisigma import Laplace, UncertaintyWeighting
            >>> model, weighting = torch.nn.Linear(3, 1), UncertaintyWeighting({"depth": Laplace()})
            >>> optimizer = torch.optim.AdamW(weighting.param_groups(model, lr=1e-3, weight_decay=0.01, noise_lr=0.05))
            >>> [group["weight_decay"] for group in optimizer.param_groups]
            [0.01, 0.0]
        """
        for name, rate in (("lr", lr), ("noise_lr", noise_lr)):
            if rate is not None:
                check_positive(name, rate)
        own = list(self.parameters())
        ids = {id(parameter) for parameter in own}
        others = [p for p in model.parameters() if id(p) not in ids] if model is not None else []
        groups: list[dict[str, Any]] = [
            {"params": others, "lr": lr, "weight_decay": weight_decay},
            {"params": own, "lr": lr if noise_lr is None else noise_lr, "weight_decay": 0.0},
        ]
        return [{k: v for k, v in group.items() if v is not None} for group in groups if group["params"]]

    def prepare(self, name: str, loss: Loss) -> Loss:
        """Return the loss to weigh, by default unchanged. A method that takes a `Prediction` computes its loss here."""
        return loss

    def by_name(self, values: Tensor) -> dict[str, float]:
        """Return values of shape (T,) by task name.

        Raises:
            DivergenceError: A value is NaN.
        """
        found = dict(zip(self.tasks, values.tolist(), strict=True))
        if lost := [name for name, value in found.items() if math.isnan(value)]:
            raise DivergenceError(
                f"The weight or noise of {listed(lost)} is NaN, because a loss or a gradient was not finite. Look at "
                "the targets, or lower the learning rate."
            )
        return found

    def replace_buffer(self, name: str, value: Tensor) -> None:
        """Make a tensor the new buffer. The old one keeps its values, which autograd may still need.

        In inference mode, copy the values into the old buffer instead. A tensor that is made in inference mode cannot
        be updated in place later.
        """
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            self.get_buffer(name).copy_(value)
        else:
            setattr(self, name, value)

    def get_extra_state(self) -> Tensor:
        """Return the tasks' names, which torch saves with the buffers."""
        return names_as_tensor(self.tasks)

    def set_extra_state(self, state: Tensor) -> None:
        """Do nothing: `match_tasks` has already read the names."""

    def extra_repr(self) -> str:
        """Return the tasks, for `repr`."""
        return ", ".join(self.tasks)

    def _collect(self, losses: Mapping[str, Loss]) -> tuple[list[Tensor], list[Tensor | float]]:
        """Return each task's sum and count."""
        if not isinstance(losses, Mapping):
            raise MultisigmaError(f"Losses must be a dictionary by task name. Found {type(losses).__name__}.")
        if unknown := sorted((name for name in losses if name not in self.tasks), key=str):
            raise MultisigmaError(f"Losses for unknown tasks {unknown}. This weighting has {list(self.tasks)}.")
        totals: list[Tensor] = []
        counts: list[Tensor | float] = []
        device = self.home.device
        for name in self.tasks:
            loss = self.prepare(name, losses.get(name))
            if loss is None:
                loss = self.home.new_zeros(()), 0
            total, count = check_pair(name, loss) if isinstance(loss, tuple) else (loss, 1.0)
            totals.append(check_loss(name, total, device))
            counts.append(count)
        return totals, counts

    def _check(self, batch: TaskLosses) -> None:
        """Raise for a mean loss that is not finite, or too low for the method."""
        if torch.compiler.is_compiling():
            return
        if not batch.mean.is_cpu and self.calls % CHECK_EVERY:
            return
        rows = zip(self.tasks, batch.mean.tolist(), self.lowest_losses, batch.labelled.tolist(), strict=True)
        for name, mean, lowest, labelled in rows:
            if labelled and not math.isfinite(mean):
                raise DivergenceError(
                    f"Task {name!r}: the loss must be finite. Found {mean}. Look at the targets, or lower the learning "
                    "rate."
                )
            if labelled and mean < lowest:
                raise MultisigmaError(
                    f"Task {name!r}: {type(self).__name__} takes no loss below {lowest}. Found {mean}. Choose another "
                    "method, or add a constant to the loss."
                )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def keep_float32(tensor: Tensor) -> Tensor:
            # A bfloat16 number has three digits, so small updates of a noise would round away.
            moved = fn(tensor)
            return moved if moved.dtype.itemsize >= 4 or not moved.is_floating_point() else tensor.to(moved.device)

        return super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]


def inverse(weights: Mapping[str, float]) -> dict[str, float]:
    """Return 1 / weight by name; infinity for a weight of 0."""
    return {name: 1 / weight if weight else math.inf for name, weight in weights.items()}
