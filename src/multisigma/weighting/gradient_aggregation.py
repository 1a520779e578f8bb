"""Methods that combine the tasks' gradients. TorchJD has them: https://torchjd.org.

MGDA (Sener and Koltun, NeurIPS 2018), PCGrad (Yu et al., NeurIPS 2020), CAGrad (Liu et al., NeurIPS 2021), IMTL-G (Liu
et al., ICLR 2021), Nash-MTL (Navon et al., ICML 2022), Aligned-MTL (Senushkin et al., CVPR 2023), UPGrad (Quinton and
Rey, arXiv 2406.16232, 2024).
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed

from multisigma.errors import MultisigmaError
from multisigma.weighting.base import Weighting
from multisigma.weighting.likelihoods import at_least_float32
from multisigma.weighting.losses import TaskLosses, several_processes
from multisigma.weighting.shared_gradients import are_replicated, mean_over_processes, shared_gradients

Aggregator = Callable[[Tensor], Tensor]

METHODS: dict[str, Callable[[Any, int], Aggregator]] = {
    "mgda": lambda torchjd, rows: torchjd.MGDA(),
    "pcgrad": lambda torchjd, rows: torchjd.PCGrad(),
    "cagrad": lambda torchjd, rows: torchjd.CAGrad(c=0.5),
    "imtl_g": lambda torchjd, rows: torchjd.IMTLG(),
    "nash_mtl": lambda torchjd, rows: torchjd.NashMTL(n_tasks=rows),
    "aligned_mtl": lambda torchjd, rows: torchjd.AlignedMTL(),
    "upgrad": lambda torchjd, rows: torchjd.UPGrad(),
}


class GradientAggregation(Weighting):
    r"""Train the shared part by an aggregate of the tasks' gradients, and each task's head by its own loss.

    $$ \sum_i L_i, \quad \text{with the gradient } A(\nabla L_1, \dots, \nabla L_n) \text{ at what the tasks share} $$

    - $L_i$ is the mean loss of task $i$.
    - $A$ is the aggregator. It gets one row for each labelled task.

    Call it with `shared`, in one of two ways:

    - The encoder's parameters: each task has a backward pass through the whole encoder, and all these gradients are
      kept.
    - The features that the encoder hands to the tasks: each task has a backward pass through its head, and one pass
      carries the aggregate through the encoder. This takes less memory and time. But it aggregates the gradients at
      the features, which may conflict more or less than those at the parameters.

    It deviates from TorchJD as follows:

    - Nash-MTL starts afresh at each step, not from the solution of the last one. So a step depends on its batch alone,
      and a resumed run takes the same steps as an uninterrupted one.
    - With several processes, one more all-reduce gives the aggregate of all processes' gradients. There is one
      exception: with features as `shared`, a function of your own gets the gradients of its own process alone, unless
      it has TorchJD's attribute `gramian_weighting`.

    Args:
        tasks: Names of the tasks.
        aggregator: 'mgda', 'pcgrad', 'cagrad', 'imtl_g', 'nash_mtl', 'aligned_mtl' or 'upgrad', with TorchJD's defaults
            and c = 0.5 for CAGrad. Or a function that takes the gradients, shape (n, elements), and returns their
            aggregate, shape (elements,). `state_dict` does not hold the state of such a function.

    Raises:
        MultisigmaError: The name is unknown, or TorchJD or what it needs is not installed.

    Example:
        >>> import torch
        >>> from multisigma import GradientAggregation
        >>> weighting = GradientAggregation(["a", "b"], lambda gradients: gradients.mean(0))
        >>> encoder = torch.nn.Linear(2, 2)
        >>> features = encoder(torch.ones(1, 2))
        >>> losses = {"a": features.square().sum(), "b": features.sum()}
        >>> weighting(losses, shared=encoder.parameters()).backward()
    """

    def __init__(self, tasks: Iterable[str], aggregator: str | Aggregator = "upgrad") -> None:
        super().__init__(tasks)
        if aggregator not in METHODS if isinstance(aggregator, str) else not callable(aggregator):
            raise MultisigmaError(
                f"Parameter `aggregator` must be one of {', '.join(METHODS)}, or a function. Found {aggregator!r}."
            )
        self.aggregator = aggregator
        self._make_aggregator(len(self.tasks))

    def combine(self, batch: TaskLosses) -> Tensor:
        objective = batch.sum(batch.mean)
        if not torch.is_grad_enabled():
            return objective
        shared, gradients = shared_gradients(batch, self.tasks, "GradientAggregation")
        rows = gradients if batch.complete else gradients[batch.labelled]
        if not len(rows):
            return objective
        with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
            aggregate = self._aggregate(rows, are_replicated(shared)).to(rows)
            # The sum of the losses has the sum of the rows as its gradient. Add terms whose value is 0 and whose
            # gradient is the difference to the aggregate.
            missing = torch.split(aggregate - rows.sum(0), [tensor.numel() for tensor in shared])
        for tensor, part in zip(shared, missing, strict=True):
            linear = (at_least_float32(tensor) * part.view_as(tensor)).sum()
            objective = objective + (linear - linear.detach()).to(objective.dtype)
        return objective

    @property
    def weights(self) -> dict[str, float]:
        """1 for each task: the weight on its own head. The shared part gets the aggregate, which has no weights."""
        return dict.fromkeys(self.tasks, 1.0)

    def _aggregate(self, rows: Tensor, replicated: bool) -> Tensor:
        """Return this process's part of the aggregate of all processes' gradients; rows (n, elements)."""
        aggregator = self._make_aggregator(len(rows))
        if not several_processes():
            return aggregator(rows) if rows.any() and len(rows) > 1 else rows.sum(0)
        if replicated:
            rows = mean_over_processes(rows)
            return aggregator(rows) if rows.any() and len(rows) > 1 else rows.sum(0)
        # Each process has features of its own, so the rows cannot be averaged. Most methods need only the rows' inner
        # products. A process's rows are W times its part of the whole batch's gradients, for W processes. So the
        # products' sum over processes, divided by W twice, is that of the whole batch.
        products = mean_over_processes(rows @ rows.T / distributed.get_world_size())
        if not products.any() or len(rows) == 1:
            return rows.sum(0)
        if weigh := getattr(aggregator, "gramian_weighting", None):
            return weigh(products).to(rows) @ rows
        if self.aggregator == "nash_mtl":
            # Nash-MTL depends only on the rows' inner products. So any rows with the same products will do.
            values, vectors = torch.linalg.eigh(products.double())
            return aggregator.weighting(vectors * values.clamp_min(0.0).sqrt()).to(rows) @ rows  # type: ignore[attr-defined]
        return aggregator(rows)

    def _make_aggregator(self, rows: int) -> Aggregator:
        """Return the aggregator of this many tasks. A named one is made anew at each step, so it keeps no state."""
        if not isinstance(self.aggregator, str):
            return self.aggregator
        try:
            return METHODS[self.aggregator](importlib.import_module("torchjd.aggregation"), rows)
        except ImportError as error:
            raise MultisigmaError(
                f"The method {self.aggregator!r} needs TorchJD. Run `pip install 'multisigma[gradients]'` ({error})."
            ) from error
