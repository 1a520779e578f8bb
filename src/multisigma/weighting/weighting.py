"""What every weighting shares: losses by task name in, one scalar objective out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import Prediction, at_least_single
from multisigma.weighting.task_state import TaskState

Loss = Tensor | tuple[Tensor, Tensor | int | float] | Prediction | None
"""A task's loss in a batch: its mean as a scalar tensor, a pair (sum over elements, number of elements), a prediction
with its target for a likelihood that takes one, or None."""

# Losses on an accelerator are looked at for NaN once in so many steps: each look waits for the device.
_STEPS_BETWEEN_LOOKS = 100


class PresentLosses(NamedTuple):
    """The losses of the n tasks present in a batch.

    Attributes:
        names: The tasks, in the order of the weighting's.
        means: Their mean losses, shape (n,).
        labelled: Which of them are labelled after all, shape (n,), bool: a count can be a tensor, and is looked at on
            its device alone. The mean of one that is not is 1, and must not count. None if all are.
        totals: What was handed over for each: its mean, or its sum. `means` is a function of all of them, and a
            gradient of one of its elements would walk through every task's part of the graph.
        factors: The derivative of each mean by its total, shape (n,); None if they are the same.
        shared: What the tasks share; empty if it was not given.
    """

    names: Sequence[str]
    means: Tensor
    labelled: Tensor | None
    totals: Sequence[Tensor]
    factors: Tensor | None
    shared: Sequence[Tensor]


class Weighting(TaskState, ABC):
    """Sums the tasks' losses, each with its weight.

    Everything that a method remembers is in its `state_dict`, kept in float32 or better whatever the model is cast to.

    Args:
        tasks: The tasks' names.
        lowest_losses: The least loss for which the method is defined: for all tasks, or for those that have one.

    Raises:
        MultisigmaError: As for `TaskState`.
    """

    found_nonfinite: Tensor
    lowest: Tensor

    def __init__(self, tasks: Iterable[str], lowest_losses: float | Mapping[str, float] | None = None) -> None:
        super().__init__(tasks)
        self._index = {name: i for i, name in enumerate(self.tasks)}
        self._steps = 0
        each = {} if lowest_losses is None else lowest_losses
        each = each if isinstance(each, Mapping) else dict.fromkeys(self.tasks, each)
        # As a loss in float32 would have it, so that one just there is not below.
        self.lowest_losses = {
            name: torch.tensor(least, dtype=torch.float32, device="cpu").item() for name, least in each.items()
        }
        #: The tasks whose loss must be a `Prediction`.
        self.takes_predictions: frozenset[str] = frozenset()
        # Zero for each task until its loss has been NaN, infinite or too low, and NaN from then on. The lowest are far
        # below any loss where there is none, and finite: the difference of infinities is none.
        lowest = [self.lowest_losses.get(name, -1e30) for name in self.tasks]
        self.register_constants({"found_nonfinite": [0.0] * len(self.tasks), "lowest": lowest})

    def forward(self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None) -> Tensor:
        """The objective to call `backward()` on.

        Where torch.distributed is running, every process calls this at every step; one all-reduce makes each task's
        mean that over all processes' labelled elements (a scalar counts as one element), so that the average of the
        processes' gradients is the gradient of one process with all the data.

        Args:
            losses: For each task present in the batch its mean loss as a scalar, or a pair (sum over labelled elements,
                their number), or a `Prediction` where its likelihood takes one. A task with no key, `None` or the count
                zero contributes nothing, not even its noise term.
            shared: What the tasks share, for the methods that look at gradients: the encoder's parameters, or the
                features that it hands to the tasks, of which the losses are functions. Others ignore it.

        Returns:
            A scalar tensor. With no task present it is zero, with a graph (under `torch.compile` only if there is a
            parameter or a sum that it can be a function of).

        Raises:
            MultisigmaError: A key names no task of this weighting; a loss is no scalar tensor, or is on another device
                than the others or the weighting; a count is negative or not finite; a mean loss is NaN or infinite, or
                negative where the method takes no negative one. A look at each step would wait for an accelerator:
                there a loss is looked at every hundred steps, and when `weights` or `sigma` is read; under
                `torch.compile` only when they are read.
        """
        present = self.present(losses, shared)
        if present is None:
            return self._nothing(losses)
        objective = self.combine(present)
        if not objective.requires_grad and torch.is_grad_enabled() and several_processes():
            # Nothing to learn from here, but other processes wait for this one's backward pass.
            return objective + self._nothing({})
        return objective

    @abstractmethod
    def combine(self, present: PresentLosses) -> Tensor:
        """The objective of a batch with at least one task."""

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

    def negative_log_likelihood(self, name: str, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """The loss of a prediction as (sum, count), where the task's likelihood takes predictions."""
        raise MultisigmaError(f"Task {name!r}: {type(self).__name__} takes losses; found a Prediction.")

    def index(self, names: Sequence[str]) -> slice | list[int] | Tensor:
        """The places of tasks among all of them, to index what is kept for all."""
        if len(names) == len(self.tasks):
            return slice(None)
        places = [self._index[name] for name in names]
        if torch.compiler.is_compiling():
            return places
        home = self.found_nonfinite.device
        if home.type == "cpu":
            return torch.tensor(places)
        # To copy a list to an accelerator would wait for it.
        each = torch.arange(len(self.tasks), device=home)
        return torch.stack([each[place] for place in places])

    def by_name(self, values: Tensor) -> dict[str, float]:
        """Values of all tasks, shape (n,), for logs: waits for the device, and looks for NaN while it is at it."""
        self.raise_if_nonfinite()
        found = dict(zip(self.tasks, values.tolist(), strict=True))
        if lost := [name for name, value in found.items() if math.isnan(value)]:
            raise MultisigmaError(
                f"The weight or noise of {_listed(lost)} is NaN: a gradient was NaN or infinite, or a closed form met "
                "a negative loss. Lower the learning rate, or choose a likelihood for such a loss."
            )
        return found

    def raise_if_nonfinite(self) -> None:
        """Waits for the device.

        Raises:
            MultisigmaError: A task's mean loss has been NaN or infinite since this was last asked, or negative where
                the method takes no negative one.
        """
        found = self.found_nonfinite.tolist()
        if any(map(math.isnan, found)):
            names = [name for name, seen in zip(self.tasks, found, strict=True) if math.isnan(seen)]
            self.found_nonfinite.zero_()
            negative = ", or below what this method takes" if self.lowest_losses else ""
            raise MultisigmaError(
                f"The loss of {_listed(names)} has been NaN or infinite{negative}: look at the targets, or lower the "
                "learning rate."
            )

    def _nothing(self, losses: Mapping[str, Loss]) -> Tensor:
        """Zero, as a function of the empty sums, so that what they depend on gets a gradient of zero."""
        compiled = torch.compiler.is_compiling()
        zero = torch.zeros((), dtype=torch.float32, device=self.found_nonfinite.device, requires_grad=not compiled)
        sums = [loss[0] for loss in losses.values() if isinstance(loss, tuple) and isinstance(loss[0], Tensor)]
        # A compiled graph can make no leaf of its own.
        for tensor in [*sums, *self.parameters()] if compiled else sums:
            zero = zero + 0.0 * tensor.sum().nan_to_num(0.0, 0.0, 0.0)
        return zero

    def _look_at(self, names: Sequence[str], means: Tensor) -> None:
        """Raises where a mean is none that the method takes; takes note of it where that would wait for a device."""
        if not torch.compiler.is_compiling():
            home: Any = self._buffers["found_nonfinite"]  # quicker than to ask the module
            if means.is_cpu and home.is_cpu:
                self._check(names, means.tolist())
                return
            if means.device != home.device:
                raise MultisigmaError(
                    f"The losses are on {means.device}, this weighting is on {home.device}; move it with "
                    f"`.to({str(means.device)!r})`."
                )
            self._steps += 1
            if self._steps % _STEPS_BETWEEN_LOOKS == 0:
                self.raise_if_nonfinite()
        # Zero times a loss is NaN if that is NaN or infinite: one operation, where to ask whether it is takes six. And
        # so is the root of what is below zero.
        looked_at = means.detach()
        if self.lowest_losses:
            looked_at = (looked_at - self.lowest[self.index(names)]).sqrt()
        if len(names) == len(self.tasks):
            self.found_nonfinite.add_(looked_at, alpha=0)
        else:
            self.found_nonfinite[self.index(names)] += 0.0 * looked_at

    def _check(self, names: Sequence[str], means: list[float]) -> None:
        if not math.isfinite(sum(means)) and (
            wrong := {n: v for n, v in zip(names, means, strict=True) if not math.isfinite(v)}
        ):
            raise MultisigmaError(
                f"The loss of {_listed(list(wrong))} is not finite but {', '.join(map(str, wrong.values()))}: look at "
                "the targets, or lower the learning rate."
            )
        lowest = self.lowest_losses
        if lowest and (wrong := {n: v for n, v in zip(names, means, strict=True) if v < lowest.get(n, v)}):
            raise MultisigmaError(
                f"The loss of {_listed(list(wrong))} is {', '.join(map(str, wrong.values()))}, and this use of "
                f"{type(self).__name__} takes none below {', '.join(str(lowest[n]) for n in wrong)}: choose a method "
                "that does, or add a constant to the loss."
            )

    def present(
        self, losses: Mapping[str, Loss], shared: Tensor | Iterable[Tensor] | None = None
    ) -> PresentLosses | None:
        """The losses of the tasks present, checked, their means over all processes; None where there is none."""
        if not isinstance(losses, dict) and not isinstance(losses, Mapping):
            raise MultisigmaError(f"Losses must be a dictionary by task name; found {type(losses).__name__}.")
        spread = several_processes()
        names: Sequence[str] = self.tasks
        counts: list[Tensor | int | float] = []
        totals = [loss for loss in map(losses.get, names) if isinstance(loss, Tensor) and not loss.ndim]
        counted = False
        # The commonest case needs no more than that.
        if not len(totals) == len(losses) == len(names) or spread or self.takes_predictions:
            names, totals, counts, counted = self._gather(losses, spread)
        if not names:
            return None
        try:
            means, labelled, factors = torch.stack(totals), None, None
        except RuntimeError:
            where = {str(total.device): name for name, total in zip(names, totals, strict=True)}
            if len(where) == 1:
                raise
            found = ", ".join(f"{name!r} on {device}" for device, name in where.items())
            raise MultisigmaError(f"The losses must be on one device; found that of task {found}.") from None
        if means.dtype is not torch.float32:
            if means.is_complex():
                found = _listed([name for name, total in zip(names, totals, strict=True) if total.is_complex()])
                raise MultisigmaError(f"The loss of {found} is complex; a loss must be real.")
            means = at_least_single(means)
        if counted:
            means, labelled, factors = _means(means, counts, spread)
        self._look_at(names, means)
        return PresentLosses(names, means, labelled, totals, factors, _tensors(shared))

    def _gather(
        self, losses: Mapping[str, Loss], spread: bool
    ) -> tuple[list[str], list[Tensor], list[Tensor | int | float], bool]:
        """The tasks present, their totals and counts, and whether the counts matter."""
        if unknown := [name for name in losses if name not in self._index]:
            raise MultisigmaError(f"Losses for unknown tasks {unknown}; this weighting has {list(self.tasks)}.")
        names: list[str] = []
        totals: list[Tensor] = []
        counts: list[Tensor | int | float] = []
        counted = spread
        for name in self.tasks:
            loss = losses.get(name)
            if isinstance(loss, Prediction):
                loss = self.negative_log_likelihood(name, loss)
            elif name in self.takes_predictions and loss is not None:
                raise MultisigmaError(
                    f"Task {name!r}: the noise of its likelihood stands inside the loss; hand over "
                    f"Prediction(output, target). Found {type(loss).__name__}."
                )
            count: Tensor | int | float = 1
            total = loss
            if isinstance(loss, tuple):
                if len(loss) != 2:
                    raise MultisigmaError(f"Task {name!r}: a pair is (sum, count); found {len(loss)} values.")
                counted = True
                total, count = loss
            if total is None:
                if not spread:
                    continue
                total, count = torch.zeros((), dtype=torch.float32, device=self.found_nonfinite.device), 0
            elif not isinstance(total, Tensor) or total.ndim:
                found = f"shape {tuple(total.shape)}" if isinstance(total, Tensor) else repr(total)
                raise MultisigmaError(
                    f"Task {name!r}: its loss must be a scalar tensor or a pair (sum, count) of scalars; found {found}."
                )
            if counted:
                count = _checked_count(name, count)
            if not spread and isinstance(count, (int, float)) and count == 0:
                continue
            names.append(name)
            totals.append(total)
            counts.append(count)
        return names, totals, counts, counted


class AdaptiveWeighting(Weighting):
    """A weighting whose multipliers change from step to step; it remembers the last for logs."""

    last_weights: Tensor

    def __init__(self, tasks: Iterable[str], lowest_losses: float | Mapping[str, float] | None = None) -> None:
        super().__init__(tasks, lowest_losses)
        self.register_buffer("last_weights", torch.ones(len(self.tasks), dtype=torch.float32))

    def remember(self, present: PresentLosses, weights: Tensor) -> None:
        """Keeps the multipliers (n,) of the tasks present, in training mode."""
        if self.training:
            index, found = self.index(present.names), weights.detach().to(self.last_weights)
            kept = found if present.labelled is None else found.where(present.labelled, self.last_weights[index])
            self.last_weights[index] = kept

    @property
    def weights(self) -> dict[str, float]:
        return self.by_name(self.last_weights)


def _means(
    totals: Tensor, counts: Sequence[Tensor | int | float], spread: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Means, mask and factors as `PresentLosses` has them, of totals (n,)."""
    if not spread and all(isinstance(count, (int, float)) for count in counts):
        factors = _numbers([1.0 / count for count in counts], totals)
        return totals * factors, None, factors
    numbers = _numbers(counts, totals)
    if not spread:
        labelled = numbers > 0
        factors = 1.0 / numbers.where(labelled, 1.0)
        return (totals * factors).where(labelled, 1.0), labelled, factors
    totals = totals.where(numbers > 0, 0.0)  # a mean over nothing here is no loss of the others'
    # In one type, whatever that of each process's losses is.
    gathered = torch.stack([totals.detach(), numbers]).double()
    distributed.all_reduce(gathered)
    labelled = gathered[1] > 0
    gathered = gathered.to(totals.dtype)
    number = gathered[1].where(labelled, 1.0)
    factors = distributed.get_world_size() / number
    local = totals * factors
    # The value of all processes' mean, with the gradient of this process's part.
    return (local + (gathered[0] / number - local).detach()).where(labelled, 1.0), labelled, factors


def _numbers(values: Sequence[Tensor | int | float], like: Tensor) -> Tensor:
    """Numbers and scalar tensors as one, shape (n,), of the type and on the device of `like`."""
    if like.is_cpu and not any(isinstance(value, Tensor) for value in values):
        return torch.tensor(values, dtype=like.dtype)
    # A number is filled in on an accelerator, for to copy it there waits.
    return torch.stack(
        [
            torch.as_tensor(value, dtype=like.dtype, device=like.device)
            if isinstance(value, Tensor)
            else like.new_full((), value)
            for value in values
        ]
    )


def masked_sum(terms: Tensor, labelled: Tensor | None) -> Tensor:
    """The sum of the terms (n,) of labelled tasks."""
    return terms.sum() if labelled is None else terms.where(labelled, 0.0).sum()


def softmax_of_labelled(values: Tensor, labelled: Tensor | None) -> Tensor:
    """The softmax (n,) over labelled tasks, zero for the others; all zero where there are none."""
    if labelled is None:
        return values.softmax(0)
    weights = (values - values.where(labelled, -torch.inf).max().nan_to_num(neginf=0.0)).exp().where(labelled, 0.0)
    return weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


def any_labelled(labelled: Tensor | None) -> Tensor | bool:
    """Whether there is a task at all: a step without any is none."""
    return True if labelled is None else labelled.any()


def several_processes() -> bool:
    """Whether several processes work on the same batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _checked_count(name: str, count: Tensor | int | float) -> Tensor | int | float:
    """The count as a number, where that can be had without waiting for a device; then it is checked."""
    if torch.compiler.is_compiling():
        return count
    if isinstance(count, Tensor) and count.numel() == 1:
        if not count.is_cpu:
            return count
        count = count.item()
    if not (isinstance(count, Real) and math.isfinite(count) and count >= 0):
        found = f"shape {tuple(count.shape)}" if isinstance(count, Tensor) else repr(count)
        raise MultisigmaError(f"Task {name!r}: a count must be one number, zero or more and finite; found {found}.")
    return float(count)


def _tensors(shared: Tensor | Iterable[Tensor] | None) -> tuple[Tensor, ...]:
    if shared is None:
        return ()
    together = (shared,) if isinstance(shared, Tensor) else tuple(shared) if isinstance(shared, Iterable) else (None,)
    if not all(isinstance(tensor, Tensor) for tensor in together):
        raise MultisigmaError(
            "Parameter `shared` must be tensors, as shared=model.encoder.parameters() or the features; found "
            f"{type(shared).__name__}."
        )
    return together


def _listed(names: list[str]) -> str:
    return ("task " if len(names) == 1 else "tasks ") + ", ".join(map(repr, names))
