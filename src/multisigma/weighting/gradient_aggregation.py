"""Methods that combine the tasks' gradients, from TorchJD, behind the same call as all other weightings.

Sener and Koltun (MGDA), Yu et al. (PCGrad), Liu et al. (CAGrad, IMTL-G), Navon et al. (Nash-MTL), Senushkin et al.
(Aligned-MTL), Quinton and Rey (UPGrad): what each does is TorchJD's, https://torchjd.org.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import at_least_single
from multisigma.weighting.shared_gradients import gradient_matrix, have_copies_in_processes, mean_over_processes
from multisigma.weighting.weighting import PresentLosses, Weighting, masked_sum, several_processes

Aggregator = Callable[[Tensor], Tensor]

_METHODS: dict[str, Callable[[Any, int], Aggregator]] = {
    "mgda": lambda torchjd, tasks: torchjd.MGDA(),
    "pcgrad": lambda torchjd, tasks: torchjd.PCGrad(),
    "cagrad": lambda torchjd, tasks: torchjd.CAGrad(c=0.5),
    "imtl_g": lambda torchjd, tasks: torchjd.IMTLG(),
    "nash_mtl": lambda torchjd, tasks: torchjd.NashMTL(n_tasks=tasks),
    "aligned_mtl": lambda torchjd, tasks: torchjd.AlignedMTL(),
    "upgrad": lambda torchjd, tasks: torchjd.UPGrad(),
}


class GradientAggregation(Weighting):
    """The shared part learns from an aggregate of the tasks' gradients, each task's own part from its own loss.

    Call with `shared`. With the encoder's parameters, each task has a backward pass through all of it, and its whole
    gradient is kept. With the features that the encoder hands to the tasks, each has a backward pass through its own
    part alone and keeps a gradient of the features' size, and one pass carries their aggregate through the encoder:
    less memory and time, and an aggregate of gradients at the features, whose angles are not quite those at the
    parameters.

    The objective's value is the plain sum of the losses; its gradient at the shared tensors is the aggregate. Tasks
    absent from a batch have no row in the matrix of gradients; to know which, a count on an accelerator is waited for.
    Under data parallelism the aggregate is that of all processes' gradients, for one more all-reduce: with parameters
    of a gradient for each task, with features of the products of these. A function of your own that is no aggregator of
    TorchJD's with a `weighting` is given each process's own gradients at the features.

    Args:
        tasks: The tasks' names.
        aggregator: 'mgda', 'pcgrad', 'cagrad', 'imtl_g', 'nash_mtl', 'aligned_mtl' or 'upgrad', with TorchJD's defaults
            (and c = 0.5 for CAGrad); or any function of the gradients (tasks present, elements) that gives their
            aggregate (elements,), such as an aggregator of TorchJD's with parameters of your own.

    Raises:
        MultisigmaError: The name is unknown, or TorchJD or what it needs for the method is not installed.
    """

    def __init__(self, tasks: Iterable[str], aggregator: str | Aggregator = "upgrad") -> None:
        super().__init__(tasks)
        self.method = aggregator if isinstance(aggregator, str) else type(aggregator).__name__
        self._given = None if isinstance(aggregator, str) else aggregator
        # One for each number of tasks present: some remember a number for each task.
        self._aggregators: dict[int, Aggregator] = {}
        if self._given is None:
            self._aggregator(len(self.tasks))

    def combine(self, present: PresentLosses) -> Tensor:
        objective = masked_sum(present.means, present.labelled)
        if not torch.is_grad_enabled():
            return objective
        shared, own = gradient_matrix(present, self.method)
        if present.labelled is not None:
            own = own[present.labelled]
        if not len(own):
            return objective
        with torch.no_grad(), torch.autocast(own.device.type, enabled=False):
            aggregate = own[0]
            if len(own) > 1:
                before = self.memory() if not self.training else None
                aggregate = self._aggregate(own, have_copies_in_processes(shared)).to(own)
                if before is not None:
                    self.remember_again(before)
            elif have_copies_in_processes(shared):
                aggregate = mean_over_processes(own)[0]
            # The sum of the losses brings the sum of the rows; what is missing is added as a linear term.
            missing = torch.split(aggregate - own.sum(0), [tensor.numel() for tensor in shared])
        for tensor, part in zip(shared, missing, strict=True):
            linear = (at_least_single(tensor) * part.view_as(tensor)).sum()
            objective = objective + (linear - linear.detach()).to(objective.dtype)
        return objective

    def _aggregate(self, own: Tensor, copies: bool) -> Tensor:
        """This process's part of the aggregate of all processes' gradients, of its own (n, elements)."""
        aggregator = self._aggregator(len(own))
        if not several_processes():
            return aggregator(own) if own.any() else own[0]
        if copies:
            matrix = mean_over_processes(own)
            return aggregator(matrix) if matrix.any() else matrix[0]
        weigh = getattr(aggregator, "weighting", None)
        if weigh is None:
            return aggregator(own)
        # Together the processes' features are the batch's, and TorchJD's methods give the rows weights that follow from
        # their products: any rows with the products of all serve.
        values, vectors = torch.linalg.eigh(mean_over_processes(own @ own.T / distributed.get_world_size()).double())
        rows = vectors * values.clamp_min(0.0).sqrt()
        return weigh(rows).to(own) @ own if rows.any() else own[0]

    @property
    def weights(self) -> dict[str, float]:
        """One for each task: the shared part's aggregate is no weighted sum of losses that the heads see."""
        self.raise_if_nonfinite()
        return dict.fromkeys(self.tasks, 1.0)

    def _aggregator(self, rows: int) -> Aggregator:
        if self._given is not None:
            return self._given
        if rows not in self._aggregators:
            self._aggregators[rows] = _from_torchjd(self.method, rows)
        return self._aggregators[rows]

    def memory(self) -> dict[str, Any]:
        """What the aggregators remember from step to step, by number of tasks present."""
        found = {str(rows): _memory(aggregator) for rows, aggregator in self._each().items()}
        return {rows: parts for rows, parts in found.items() if any(parts.values())}

    def remember_again(self, memory: dict[str, Any]) -> None:
        for rows, parts in memory.items():
            for part_name, values in parts.items():
                part = _parts(self._aggregator(int(rows)))[part_name]
                for name, (kind, value) in values.items():
                    kept = getattr(part, name)
                    restored = torch.tensor(value, dtype=getattr(torch, kind))
                    if isinstance(kept, Tensor):
                        setattr(part, name, restored.to(kept.device))
                    else:
                        setattr(part, name, value if name == "step" else restored.numpy())
                if "step" in values and hasattr(part, "_init_optim_problem"):
                    part._init_optim_problem()  # TorchJD's Nash-MTL poses its problem at step 0 alone

    def _each(self) -> dict[int, Aggregator]:
        return self._aggregators if self._given is None else {len(self.tasks): self._given}


def _parts(aggregator: Aggregator) -> dict[str, Any]:
    return dict(aggregator.named_modules()) if isinstance(aggregator, torch.nn.Module) else {"": aggregator}


def _memory(aggregator: Aggregator) -> dict[str, dict[str, Any]]:
    """Tensors, arrays and the count of steps among the attributes, by the part: TorchJD keeps its state there."""
    return {
        part_name: {
            name: (str(torch.as_tensor(value).dtype).removeprefix("torch."), torch.as_tensor(value).tolist())
            for name, value in vars(part).items()
            if isinstance(value, Tensor) or hasattr(value, "__array_interface__") or name == "step"
        }
        for part_name, part in _parts(aggregator).items()
        if hasattr(part, "__dict__")
    }


def _from_torchjd(method: str, tasks: int) -> Aggregator:
    if method not in _METHODS:
        raise MultisigmaError(f"Parameter `aggregator` must be one of {', '.join(_METHODS)}; found {method!r}.")
    try:
        return _METHODS[method](importlib.import_module("torchjd.aggregation"), tasks)
    except ImportError as error:
        raise MultisigmaError(
            f"The method {method!r} needs TorchJD: pip install 'multisigma[gradients]' ({error})."
        ) from error
