"""What all weightings share: the losses of a batch in, one scalar objective out.

Each call goes one way: collect the losses, reduce them over processes, check them, combine them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, distributed, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.checks import check_count, check_names, check_positive, check_shared, listed
from multisigma.weighting.likelihoods import Prediction, at_least_float32

Loss = Tensor | tuple[Tensor, Tensor | float] | Prediction | None
"""A task's loss: its mean as a scalar tensor, or (sum over labelled elements, their number), or a `Prediction` for an
exact likelihood. None or a count of 0 means that the batch has no label for the task."""

CHECK_EVERY = 100
"""Calls between two looks at the losses on an accelerator, where each look waits for the device."""


class TaskLosses(NamedTuple):
    """The losses of a batch, one element for each of the T tasks.

    Attributes:
        mean: Each task's mean loss over the labelled elements of all processes, shape (T,). 1 where unlabelled.
        labelled: Which tasks have a label, shape (T,), bool.
        present: T booleans: which tasks may have a label. False only where that is known without waiting for a device:
            in one process, for a count of 0 on the host.
        totals: What this process was given for each task, its mean or its sum; T scalars. Methods that look at
            gradients differentiate these: a total has its own task's graph, an element of `mean` has every task's.
        divisor: What `totals` are divided by, shape (T,): the number of labelled elements, averaged over processes; 1
            where no element is labelled.
        shared: The tensors that the tasks share. Empty if they were not given.
    """

    mean: Tensor
    labelled: Tensor
    present: tuple[bool, ...]
    totals: tuple[Tensor, ...]
    divisor: Tensor
    shared: tuple[Tensor, ...]

    def sum(self, terms: Tensor) -> Tensor:
        """Return the sum of the labelled tasks' terms. `terms` has the shape (T,)."""
        return terms.where(self.labelled, 0.0).sum()

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over the labelled tasks, 0 for the others. `logits` has the shape (T,)."""
        # A batch without any label makes a softmax over nothing, which is NaN.
        return logits.where(self.labelled, -torch.inf).softmax(0).where(self.labelled, 0.0)

    def number(self) -> Tensor:
        """Return the number of labelled tasks, at least 1; a scalar."""
        return self.labelled.sum().clamp_min(1)


class Weighting(nn.Module, ABC):
    """Weigh the losses of several tasks and add them up.

    A subclass has `combine` and `weights`. It keeps its state in buffers, so that `state_dict` holds everything. The
    last dimension of a buffer is the task; scalars are allowed. Buffers and parameters stay in float32 when the model
    is cast to half precision.

    Args:
        tasks: Names of the tasks.
        lowest_loss: The smallest mean loss that the method accepts.

    Raises:
        MultisigmaError: There is no task, or a name is not a string, is empty, has a dot or a line break, or is
            repeated.
    """

    home: Tensor
    needs_update = False
    """Whether the training loop is to call `update` after each of the optimiser's steps."""

    def __init__(self, tasks: Iterable[str], lowest_loss: float = -math.inf) -> None:
        super().__init__()
        self.tasks = check_names(tasks)
        self.lowest_losses = [lowest_loss] * len(self.tasks)
        self.calls = 0
        self._settings: dict[str, Tensor] = {}
        self.register_buffer("home", torch.empty(0, dtype=torch.float32), persistent=False)  # tells the device
        self.register_load_state_dict_pre_hook(_match_tasks)  # type: ignore[no-untyped-call]

    def register_settings(self, values: Mapping[str, Tensor]) -> None:
        """Register buffers that are settings of the constructor, so no part of `state_dict`."""
        for name, value in values.items():
            self._settings[name] = value
            self.register_buffer(name, value.to(self.home.device, copy=True), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as in `nn.Module`.

        It also repairs the settings. Loaders that build a model on the meta device leave them uninitialised, and call
        this before they hand the model over.
        """
        for name, value in self._settings.items():
            buffer = self.get_buffer(name)
            if not (buffer.is_meta or torch.equal(buffer.to(value), value)):
                buffer.copy_(value)
        return super().train(mode)

    if TYPE_CHECKING:  # nn.Module types its call as Any

        def __call__(self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None) -> Tensor: ...

    def forward(self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None) -> Tensor:
        """Return the objective to call `backward()` on.

        Where torch.distributed runs, call this in every process at every step: one all-reduce computes each mean over
        the labelled elements of all processes. A scalar counts as one element. The average of the processes' gradients,
        which DDP and FSDP compute, then equals the gradient that a single process with all the data would compute.

        Args:
            losses: Each task's loss by name. A task with no key, None or a count of 0 contributes nothing, not even
                its noise term.
            shared: What the tasks share, for methods that look at gradients: the encoder's parameters, or the features
                that it hands to the tasks. Other methods ignore it.

        Returns:
            A scalar. Zero if no task has a label; `backward()` then works, and changes no gradient or adds zero.

        Raises:
            MultisigmaError: A name is unknown; a loss is no real scalar, or on another device than the weighting; a
                count is negative or not finite; a mean loss is not finite or too low for the method. The means are
                checked at every step on the CPU, every 100th on an accelerator, and never in a compiled graph.
        """
        batch = self._reduce(*self._collect(losses), check_shared(shared))
        self._check(batch)
        objective = self.combine(batch)
        if objective.requires_grad or torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return objective
        # The objective has no graph. That is right if no task has a label here, or there are several processes, and
        # `backward()` must still work. Otherwise a loss was detached by mistake, and `backward()` should raise.
        return objective if any(batch.present) and not several_processes() else objective.requires_grad_()

    @abstractmethod
    def combine(self, batch: TaskLosses) -> Tensor:
        """Return the objective of a batch, a scalar."""

    def update(self, losses: Mapping[str, Loss]) -> None:
        """Learn from the same batch's losses after the optimiser's step. Only methods with `needs_update` do."""

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
        return {name: 1 / weight if weight else math.inf for name, weight in self.weights.items()}

    def log(self) -> dict[str, float]:
        """Return weights, noise and sigma as one row for a log: `weight/TASK`, `noise/TASK`, `sigma/TASK`."""
        parts = {"weight": self.weights, "noise": self.noise, "sigma": self.sigma}
        return {f"{part}/{task}": value for part, values in parts.items() for task, value in values.items()}

    def param_groups(
        self,
        model: nn.Module | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        noise_lr: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups: the model's, and this weighting's without weight decay.

        Weight decay would pull every sigma towards 1. A weighting inside the model is not listed twice.

        Args:
            model: The model. None for the weighting's group alone.
            lr: Learning rate of both. None for the optimiser's.
            weight_decay: Weight decay of the model. None for the optimiser's.
            noise_lr: Learning rate of the weighting. None for `lr`.

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

    def sum_and_count(self, name: str, loss: Loss) -> tuple[Any, Any]:
        """Return a loss as (sum, count)."""
        if isinstance(loss, Prediction):
            raise MultisigmaError(f"Task {name!r}: {type(self).__name__} takes a mean loss. Found a Prediction.")
        if loss is None:
            return torch.zeros((), dtype=torch.float32, device=self.home.device), 0
        if not isinstance(loss, tuple):
            return loss, 1
        if len(loss) != 2:
            raise MultisigmaError(f"Task {name!r}: a pair must be (sum, count). Found {len(loss)} values.")
        return loss

    def by_name(self, values: Tensor) -> dict[str, float]:
        """Return values of shape (T,) by task name.

        Raises:
            MultisigmaError: A value is NaN.
        """
        found = dict(zip(self.tasks, values.tolist(), strict=True))
        if lost := [name for name, value in found.items() if math.isnan(value)]:
            raise MultisigmaError(
                f"The weight or noise of {listed(lost)} is NaN, because a loss or a gradient was not finite. Look at "
                "the targets, or lower the learning rate."
            )
        return found

    def replace_buffer(self, name: str, value: Tensor) -> None:
        """Replace a buffer, because autograd may still need its old values.

        In inference mode, copy into the buffer instead: a tensor made there cannot be written to later.
        """
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            self.get_buffer(name).copy_(value)
        else:
            setattr(self, name, value)

    def get_extra_state(self) -> Tensor:
        """Return the tasks' names as UTF-8 bytes, because safetensors and others store only tensors."""
        return torch.tensor(list("\n".join(self.tasks).encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Do nothing: `_match_tasks` has read the names."""

    def extra_repr(self) -> str:
        """Return the tasks, for `repr`."""
        return ", ".join(self.tasks)

    def _collect(self, losses: Mapping[str, Loss]) -> tuple[tuple[Tensor, ...], list[Tensor | float]]:
        """Return each task's sum and count."""
        if not isinstance(losses, Mapping):
            raise MultisigmaError(f"Losses must be a dictionary by task name. Found {type(losses).__name__}.")
        if unknown := sorted(losses.keys() - set(self.tasks), key=str):
            raise MultisigmaError(f"Losses for unknown tasks {unknown}. This weighting has {list(self.tasks)}.")
        totals, counts, device = [], [], self.home.device
        for name in self.tasks:
            total, count = self.sum_and_count(name, losses.get(name))
            if not (isinstance(total, Tensor) and total.ndim == 0 and total.is_floating_point()):
                found = f"shape {tuple(total.shape)} of {total.dtype}" if isinstance(total, Tensor) else repr(total)
                raise MultisigmaError(
                    f"Task {name!r}: the loss must be a real scalar tensor or a pair (sum, count). Found {found}."
                )
            if total.device != device:
                raise MultisigmaError(
                    f"Task {name!r}: the loss is on {total.device} and the weighting on {device}. Move the "
                    f"weighting with `.to({str(total.device)!r})`."
                )
            totals.append(total)
            counts.append(check_count(name, count))
        return tuple(totals), counts

    def _reduce(
        self, totals: tuple[Tensor, ...], counts: list[Tensor | float], shared: tuple[Tensor, ...]
    ) -> TaskLosses:
        """Return the means over the labelled elements of all processes."""
        present = tuple(several_processes() or isinstance(c, Tensor) or c > 0 for c in counts)
        if any(present):
            # Without the graphs of absent tasks: a gradient of zero through an empty mean would be NaN.
            totals = tuple(t if here else t.detach() for t, here in zip(totals, present, strict=True))
        total = at_least_float32(torch.stack(totals))
        if any(isinstance(c, Tensor) for c in counts):
            tensors = [c if isinstance(c, Tensor) else total.new_full((), c) for c in counts]
            count = torch.stack([c.to(total) for c in tensors])
        else:
            count = torch.tensor(counts, dtype=total.dtype).to(total.device, non_blocking=True)
        labelled = count > 0
        if not several_processes():
            divisor = count.where(labelled, 1.0)
            return TaskLosses((total / divisor).where(labelled, 1.0), labelled, present, totals, divisor, shared)
        total = total.where(labelled, 0.0)  # without a labelled element the sum may be NaN
        # float64 everywhere, because processes may hold different types.
        everywhere = torch.stack([total.detach(), count]).double()
        distributed.all_reduce(everywhere)
        labelled = everywhere[1] > 0
        everywhere[1] = everywhere[1].where(labelled, 1.0)
        divisor = (everywhere[1] / distributed.get_world_size()).to(total)
        local = total / divisor
        # The value of the mean over all processes, with the gradient of this process's part.
        mean = local + ((everywhere[0] / everywhere[1]).to(total) - local).detach()
        return TaskLosses(mean.where(labelled, 1.0), labelled, present, totals, divisor, shared)

    def _check(self, batch: TaskLosses) -> None:
        """Raise for a mean loss that is not finite, or too low for the method."""
        if torch.compiler.is_compiling():
            return
        self.calls += 1
        if not batch.mean.is_cpu and self.calls % CHECK_EVERY:
            return
        for name, mean, lowest, labelled in zip(
            self.tasks, batch.mean.tolist(), self.lowest_losses, batch.labelled.tolist(), strict=True
        ):
            if not labelled or (math.isfinite(mean) and mean >= lowest):
                continue
            if not math.isfinite(mean):
                raise MultisigmaError(
                    f"Task {name!r}: the loss must be finite. Found {mean}. Look at the targets, or lower the learning "
                    "rate."
                )
            raise MultisigmaError(
                f"Task {name!r}: {type(self).__name__} takes no loss below {lowest}. Found {mean}. Choose another "
                "method, or add a constant to the loss."
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # In bfloat16, which has three digits, small updates of a noise would round away.
        def keep_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.is_meta and not moved.is_meta:
                raise MultisigmaError(
                    "A weighting cannot be made on the meta device, because no checkpoint holds its settings. Make it "
                    "outside `torch.device('meta')`."
                )
            return moved if moved.dtype.itemsize >= 4 or not moved.is_floating_point() else tensor.to(moved.device)

        return super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]


def several_processes() -> bool:
    """Return whether more than one process runs; their losses form one batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _match_tasks(
    module: Weighting,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: Any,
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Put a saved state's buffers in this weighting's order of tasks.

    If the saved tasks are others, no buffer with tasks is loaded, and torch reports them as missing. Values in half
    precision become float32.
    """
    buffers = [f"{prefix}{name}" for name, buffer in module.named_buffers() if buffer.ndim]
    names = state_dict.get(f"{prefix}_extra_state")
    saved = module.tasks if names is None else tuple(bytes(names.to("cpu", torch.uint8).tolist()).decode().split("\n"))
    if set(saved) != set(module.tasks):
        unexpected_keys.append(f"{prefix}tasks {saved} of the saved state; this weighting has {module.tasks}")
    order = [saved.index(name) for name in module.tasks if name in saved]
    for key, value in list(state_dict.items()):
        if key.startswith(prefix) and isinstance(value, Tensor) and value.is_floating_point():
            state_dict[key] = at_least_float32(value)
        if key in buffers:
            if set(saved) == set(module.tasks):
                state_dict[key] = state_dict[key][..., order]
            else:
                del state_dict[key]
