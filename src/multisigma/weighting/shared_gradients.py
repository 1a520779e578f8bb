"""Each task's gradient at what the tasks share, for the methods that look at gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.losses import TaskLosses, several_processes


def shared_gradients(batch: TaskLosses, tasks: Sequence[str], method: str) -> tuple[list[Tensor], Tensor]:
    """Return the shared tensors that can learn, and the gradient of each task's mean loss at all of them.

    A task that does not depend on a tensor has a gradient of zero there, and so has a task without a label.

    Args:
        batch: The losses.
        tasks: Names of the tasks, for messages.
        method: Name of the method, for messages.

    Returns:
        The tensors, and the gradients of shape (T, elements) in float32 or float64.

    Raises:
        MultisigmaError: `shared` was not given, is frozen, or mixes parameters and features; a loss has no graph;
            or, in one process, no loss depends on anything shared.
    """
    shared = [tensor for tensor in batch.shared if tensor.requires_grad]
    if not shared:
        found = f"{len(batch.shared)} tensors, all frozen" if batch.shared else "nothing"
        raise MultisigmaError(
            f"{method} needs the tasks' gradients. Call it with shared=model.encoder.parameters(), or with the "
            f"features that the encoder hands to the tasks. Found {found}."
        )
    if len({isinstance(tensor, nn.Parameter) for tensor in shared}) > 1:
        raise MultisigmaError(f"{method}: `shared` must be parameters or features. Found both.")
    # Fill one matrix and divide it in place. Several copies of all gradients would take several times the memory.
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in shared) else torch.float32
    sizes, reached = [tensor.numel() for tensor in shared], False
    matrix = torch.zeros(len(tasks), sum(sizes), dtype=dtype, device=batch.mean.device)
    for row, name, total, present in zip(matrix, tasks, batch.totals, batch.present, strict=True):
        gradients: Sequence[Tensor | None] = [None] * len(shared)
        if total.requires_grad:
            gradients = torch.autograd.grad(total, shared, retain_graph=True, allow_unused=True)
        elif present and not several_processes():
            raise MultisigmaError(f"Task {name!r}: its loss has no graph. {method} needs one.")
        for part, gradient in zip(row.split(sizes), gradients, strict=True):
            if gradient is not None:
                reached = True
                part.copy_(gradient.reshape(-1))
    if not reached and any(batch.present) and not several_processes():
        raise MultisigmaError(
            f"{method}: no loss depends on any of the {len(shared)} tensors in `shared`. Give the very tensors that "
            "the losses were computed from, not copies or those of another module."
        )
    matrix /= batch.divisor[:, None]
    return shared, matrix.masked_fill_(~batch.labelled[:, None], 0.0)


def are_replicated(shared: Sequence[Tensor]) -> bool:
    """Return whether every process holds the same tensors: parameters are, a batch's features are not."""
    return isinstance(shared[0], nn.Parameter)


def mean_over_processes(gradients: Tensor) -> Tensor:
    """Return the mean of all processes' tensors of this shape."""
    mean = gradients / distributed.get_world_size()
    distributed.all_reduce(mean)
    return mean
