"""Methods that combine the tasks' gradients, from TorchJD, behind the same call as all other weightings.

Sener and Koltun (MGDA), Yu et al. (PCGrad), Liu et al. (CAGrad, IMTL-G), Navon et al. (Nash-MTL), Senushkin et al.
(Aligned-MTL), Quinton and Rey (UPGrad): what each does is TorchJD's, https://torchjd.org.
"""

import importlib
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import at_least_single
from multisigma.weighting.shared_gradients import have_copies_in_processes, mean_over_processes, shared_gradients
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
    of a gradient for each task, with features of the products of these. At features an aggregator of your own that is
    neither one of the names' below nor has TorchJD's `gramian_weighting` is given each process's own gradients.

    Args:
        tasks: The tasks' names.
        aggregator: 'mgda', 'pcgrad', 'cagrad', 'imtl_g', 'nash_mtl', 'aligned_mtl' or 'upgrad', with TorchJD's defaults
            (and c = 0.5 for CAGrad); or any function of the gradients (tasks present, elements) that gives their
            aggregate (elements,), such as an aggregator of TorchJD's with parameters of your own. If such a one
            remembers something, and is not its Nash-MTL, that is yours to save.

    Raises:
        MultisigmaError: The name is unknown, or TorchJD or what it needs for the method is not installed.
    """

    def __init__(self, tasks: Iterable[str], aggregator: str | Aggregator = "upgrad") -> None:
        super().__init__(tasks)
        self.method = aggregator if isinstance(aggregator, str) else type(aggregator).__name__
        # By number of tasks present, for some remember a number for each task; one given serves for all. In a
        # dictionary, for what they remember is no part of a module's state as torch has it.
        self._aggregators: dict[int, Aggregator] = {}
        if not isinstance(aggregator, str):
            self._aggregators = dict.fromkeys(range(1, len(self.tasks) + 1), aggregator)
        self._aggregator(len(self.tasks))

    def combine(self, present: PresentLosses) -> Tensor:
        objective = masked_sum(present.means, present.labelled)
        if not torch.is_grad_enabled():
            return objective
        shared, own = shared_gradients(present, self.method)
        if present.labelled is not None:
            own = own[present.labelled]
        if not len(own):
            return objective
        with torch.no_grad(), torch.autocast(own.device.type, enabled=False):
            aggregate = self._aggregate(own, have_copies_in_processes(shared)).to(own)
            # The sum of the losses brings the sum of the rows; what is missing is added as a linear term.
            missing = torch.split(aggregate - own.sum(0), [tensor.numel() for tensor in shared])
        for tensor, part in zip(shared, missing, strict=True):
            linear = (at_least_single(tensor) * part.view_as(tensor)).sum()
            objective = objective + (linear - linear.detach()).to(objective.dtype)
        return objective

    def _aggregate(self, own: Tensor, copies: bool) -> Tensor:
        """This process's part of the aggregate of all processes' gradients, of its own (n, elements)."""
        if len(own) == 1:
            return mean_over_processes(own)[0] if copies else own[0]
        aggregator = self._aggregator(len(own))
        if not self.training:
            aggregator = deepcopy(aggregator)  # it may remember
        if not several_processes():
            return aggregator(own) if own.any() else own[0]
        if copies:
            matrix = mean_over_processes(own)
            return aggregator(matrix) if matrix.any() else matrix[0]
        # Together the processes' features are the batch's. Most methods give the rows weights that follow from their
        # products alone.
        gramian = mean_over_processes(own @ own.T / distributed.get_world_size())
        if not gramian.any():
            return own[0]
        if weigh := getattr(aggregator, "gramian_weighting", None):
            return weigh(gramian).to(own) @ own
        if type(aggregator).__name__ == "NashMTL":  # it takes rows, of which it uses the products: any others serve
            values, vectors = torch.linalg.eigh(gramian.double())
            return aggregator.weighting(vectors * values.clamp_min(0.0).sqrt()).to(own) @ own  # type: ignore[attr-defined]
        return aggregator(own)

    @property
    def weights(self) -> dict[str, float]:
        """One for each task: the shared part's aggregate is no weighted sum of losses that the heads see."""
        self.raise_if_nonfinite()
        return dict.fromkeys(self.tasks, 1.0)

    def _aggregator(self, rows: int) -> Aggregator:
        if rows not in self._aggregators:
            self._aggregators[rows] = _from_torchjd(self.method, rows)
        return self._aggregators[rows]

    def memory(self) -> dict[str, Any]:
        """What TorchJD's Nash-MTL remembers from step to step, by number of tasks present."""
        different = {id(aggregator): rows for rows, aggregator in self._aggregators.items()}
        found = {str(rows): _memory(self._aggregators[rows]) for rows in sorted(different.values())}
        return {rows: parts for rows, parts in found.items() if any(parts.values())}

    def remember_again(self, memory: dict[str, Any]) -> None:
        for rows, parts in memory.items():
            for part_name, values in parts.items():
                part = _parts(self._aggregator(int(rows)))[part_name]
                for name, (kind, value) in values.items():
                    array = kind != "number"
                    setattr(part, name, torch.tensor(value, dtype=getattr(torch, kind)).numpy() if array else value)
                if "step" in values and hasattr(part, "_init_optim_problem"):
                    part._init_optim_problem()  # it poses its problem at step 0 alone


def _parts(aggregator: Aggregator) -> dict[str, Any]:
    return dict(aggregator.named_modules()) if isinstance(aggregator, torch.nn.Module) else {}


def _memory(aggregator: Aggregator) -> dict[str, dict[str, tuple[str, Any]]]:
    """Arrays, with the names of their types, and the count of steps among the attributes, by the part of a module."""
    kept: dict[str, dict[str, tuple[str, Any]]] = {}
    for part_name, part in _parts(aggregator).items():
        arrays = {name: value for name, value in vars(part).items() if hasattr(value, "__array_interface__")}
        kept[part_name] = {name: (str(value.dtype), value.tolist()) for name, value in arrays.items()}
        if isinstance(getattr(part, "step", None), int | float):
            kept[part_name]["step"] = "number", part.step
    return kept


def _from_torchjd(method: str, tasks: int) -> Aggregator:
    if method not in _METHODS:
        raise MultisigmaError(f"Parameter `aggregator` must be one of {', '.join(_METHODS)}; found {method!r}.")
    try:
        return _METHODS[method](importlib.import_module("torchjd.aggregation"), tasks)
    except ImportError as error:
        raise MultisigmaError(
            f"The method {method!r} needs TorchJD: pip install 'multisigma[gradients]' ({error})."
        ) from error
