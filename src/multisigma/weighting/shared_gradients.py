"""Each task's gradient at what the tasks share, for the methods that look at it."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import at_least_single
from multisigma.weighting.weighting import PresentLosses, several_processes


def shared_gradients(present: PresentLosses, method: str) -> tuple[list[Tensor], Tensor]:
    """The shared tensors that can learn, and each task's gradient at all of them, of its mean loss.

    Frozen tensors are left out; where a task does not depend on a tensor its gradient is zero.

    Returns:
        The tensors; and the gradients (n, elements), a row for each task, in float32 or better.

    Raises:
        MultisigmaError: Nothing shared was given, nothing of it can learn, or there are parameters beside features; a
            loss has no graph; or, in one process alone, no loss is a function of anything shared.
    """
    shared = [tensor for tensor in present.shared if tensor.requires_grad]
    if not shared:
        found = "nothing" if not present.shared else f"{len(present.shared)} tensors, all frozen"
        raise MultisigmaError(
            f"{method} looks at the tasks' gradients: call it with shared=model.encoder.parameters(), or with the "
            f"features that the encoder hands to the tasks. Found {found}."
        )
    if len({isinstance(tensor, nn.Parameter) for tensor in shared}) > 1:
        raise MultisigmaError(f"{method}: `shared` must be parameters or features; found both.")
    rows, reached = [], False
    for i, (name, total) in enumerate(zip(present.names, present.totals, strict=True)):
        if not total.requires_grad and present.labelled is None:
            raise MultisigmaError(f"Task {name!r}: its loss has no graph; {method} needs one.")
        gradients: Sequence[Tensor | None] = [None] * len(shared)
        if total.requires_grad:
            gradients = torch.autograd.grad(total, shared, retain_graph=True, allow_unused=True)
        reached = reached or any(gradient is not None for gradient in gradients)
        parts = [torch.zeros_like(t) if g is None else g for g, t in zip(gradients, shared, strict=True)]
        row = at_least_single(torch.cat([part.reshape(-1) for part in parts]))
        rows.append(row if present.factors is None else row * present.factors[i])
    if not reached and present.labelled is None:
        raise MultisigmaError(
            f"{method}: no task's loss is a function of any of the {len(shared)} tensors in `shared`. Give the very "
            "tensors that the losses were computed from, not copies or another module's."
        )
    return shared, torch.stack(rows)


def have_copies_in_processes(shared: Sequence[Tensor]) -> bool:
    """Whether several processes hold copies of what is shared: parameters, but not a batch's own features."""
    return several_processes() and isinstance(shared[0], nn.Parameter)


def mean_over_processes(matrix: Tensor) -> Tensor:
    """The gradients (n, elements) of all processes' means, of those of each process's share of them."""
    mean = matrix / distributed.get_world_size()
    distributed.all_reduce(mean)
    return mean
