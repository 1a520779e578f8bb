"""Each task's gradient at what the tasks share, for the methods that look at it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, distributed, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import at_least_single
from multisigma.weighting.weighting import PresentLosses, several_processes


def at_shared(present: PresentLosses, method: str) -> tuple[list[Tensor], Iterator[list[Tensor]]]:
    """The shared tensors that can learn, and for each task in turn the gradient of its mean loss at each of them.

    Frozen tensors are left out; where a task does not depend on a tensor its gradient is zero.

    Raises:
        MultisigmaError: Nothing shared was given, nothing of it can learn, a loss has no graph, or (after the last
            task) no loss is a function of anything shared.
    """
    shared = [tensor for tensor in present.shared if tensor.requires_grad]
    if not shared:
        found = "nothing" if not present.shared else f"{len(present.shared)} tensors, all frozen"
        raise MultisigmaError(
            f"{method} looks at the tasks' gradients: call it with shared=model.encoder.parameters(), or with the "
            f"features that the encoder hands to the tasks. Found {found}."
        )
    return shared, _gradients(present, shared, method)


def _gradients(present: PresentLosses, shared: list[Tensor], method: str) -> Iterator[list[Tensor]]:
    graphs, reached = 0, False
    for i, (name, total) in enumerate(zip(present.names, present.totals, strict=True)):
        if not total.requires_grad:
            if present.labelled is None:
                raise MultisigmaError(f"Task {name!r}: its loss has no graph; {method} needs one.")
            yield [torch.zeros_like(tensor) for tensor in shared]
            continue
        found = torch.autograd.grad(total, shared, retain_graph=True, allow_unused=True)
        graphs, reached = graphs + 1, reached or any(g is not None for g in found)
        gradient = [torch.zeros_like(t) if g is None else g for g, t in zip(found, shared, strict=True)]
        yield gradient if present.factors is None else [part * present.factors[i] for part in gradient]
    if graphs and not reached and not several_processes():
        raise MultisigmaError(
            f"{method}: no task's loss is a function of any of the {len(shared)} tensors in `shared`. Give the very "
            "tensors that the losses were computed from, not copies or another module's."
        )


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All elements in one vector, in float32 or better."""
    return at_least_single(torch.cat([tensor.reshape(-1) for tensor in tensors]))


def gradient_matrix(present: PresentLosses, method: str) -> tuple[list[Tensor], Tensor]:
    """The shared tensors that can learn, and a row for each task: its gradient at all of them, shape (n, elements).

    Raises:
        MultisigmaError: As `at_shared` does.
    """
    shared, gradients = at_shared(present, method)
    return shared, torch.stack([flat(gradient) for gradient in gradients])


def have_copies_in_processes(shared: Sequence[Tensor]) -> bool:
    """Whether several processes hold copies of what is shared: parameters, but not a batch's own features."""
    return several_processes() and all(isinstance(tensor, nn.Parameter) for tensor in shared)


def mean_over_processes(matrix: Tensor) -> Tensor:
    """The gradients (n, elements) of all processes' means, of those of each process's share of them."""
    mean = matrix / distributed.get_world_size()
    distributed.all_reduce(mean)
    return mean
