"""The losses of a batch, and their means over the labelled elements of all processes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, distributed

from multisigma.weighting.likelihoods import Prediction, at_least_float32

Loss = Tensor | tuple[Tensor, Tensor | float] | Prediction | None
"""A task's loss: its mean as a scalar tensor; or (sum over labelled elements, their number); or a `Prediction`, for an
exact likelihood. None or a count of 0 means that the batch has no label for the task."""


class TaskLosses(NamedTuple):
    """The losses of a batch, one element for each of the T tasks.

    Attributes:
        mean: Each task's mean loss over the labelled elements of all processes, shape (T,). 1 where unlabelled.
        labelled: Which tasks have a label, shape (T,), bool.
        present: T booleans. False if the task certainly has no label, else True. A count on a device, or one that
            depends on other processes, gives True, because reading it would wait.
        complete: True only if every task certainly has a label. The masks are then not needed.
        totals: Each task's loss as the caller gave it to this process, a mean or a sum; T scalars. Methods that look
            at gradients differentiate these. Differentiating an element of `mean` would go through the graphs of all
            tasks.
        divisor: What `totals` are divided by, shape (T,): the number of labelled elements, averaged over processes; 1
            where no element is labelled.
        shared: The tensors that the tasks share. Empty if they were not given.
    """

    mean: Tensor
    labelled: Tensor
    present: tuple[bool, ...]
    complete: bool
    totals: tuple[Tensor, ...]
    divisor: Tensor
    shared: tuple[Tensor, ...]

    def sum(self, terms: Tensor) -> Tensor:
        """Return the sum of the labelled tasks' terms. `terms` has the shape (T,)."""
        return (terms if self.complete else terms.where(self.labelled, 0.0)).sum()

    def softmax(self, logits: Tensor) -> Tensor:
        """Return the softmax over the labelled tasks, 0 for the others. `logits` has the shape (T,)."""
        return masked_softmax(logits, self.labelled)

    def number(self) -> Tensor:
        """Return the number of labelled tasks, at least 1; a scalar."""
        return self.labelled.sum().clamp_min(1)


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax over the elements where the mask is true, 0 for the others; shapes (T,)."""
    # If the mask is false everywhere, the softmax is NaN. The second `where` removes it.
    return logits.where(mask, -torch.inf).softmax(0).where(mask, 0.0)


def several_processes() -> bool:
    """Return whether more than one process runs. Their losses then form one batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def reduce_losses(
    totals: Sequence[Tensor], counts: Sequence[Tensor | float], shared: tuple[Tensor, ...] = ()
) -> TaskLosses:
    """Return each task's mean over the labelled elements of all processes. Several processes need one all-reduce.

    Args:
        totals: Each task's sum over the labelled elements of this process; T scalars.
        counts: Each task's number of these elements; a tensor if reading it would wait for a device.
        shared: The tensors that the tasks share.
    """
    several = several_processes()
    present = tuple([several or isinstance(count, Tensor) or count > 0 for count in counts])
    # A compiled graph needs at least one loss with a gradient. So if no task is present in one, detach none.
    if not all(present) and (any(present) or not torch.compiler.is_compiling()):
        # Detach absent tasks. Their loss may be 0 / 0, whose gradient is NaN even when it is multiplied by zero.
        totals = [t if here else t.detach() for t, here in zip(totals, present, strict=True)]
    total = at_least_float32(torch.stack(tuple(totals)))
    on_host = not any(isinstance(count, Tensor) for count in counts)
    if on_host:
        count = torch.tensor(counts, dtype=total.dtype).to(total.device, non_blocking=True)
    else:
        count = torch.stack([c.to(total) if isinstance(c, Tensor) else total.new_full((), c) for c in counts])
    labelled = count > 0
    if on_host and not several and all(present):
        return TaskLosses(total / count, labelled, present, True, tuple(totals), count, shared)
    total = total.where(labelled, 0.0)  # a sum over nothing may be NaN
    everywhere, processes = torch.stack([total.detach(), count]), 1
    if several:
        everywhere, processes = everywhere.double(), distributed.get_world_size()  # all-reduce needs one type
        distributed.all_reduce(everywhere)
    labelled = everywhere[1] > 0
    number = everywhere[1].where(labelled, 1.0)
    divisor = (number / processes).to(total)
    mean = total / divisor
    if several:
        # Replace the value by the mean over all processes. The gradient is still that of this process's losses.
        mean = mean + ((everywhere[0] / number).to(total) - mean).detach()
    return TaskLosses(mean.where(labelled, 1.0), labelled, present, False, tuple(totals), divisor, shared)
