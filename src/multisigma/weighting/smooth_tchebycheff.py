"""STCH: Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", ICML 2024."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.adaptive import AdaptiveWeighting
from multisigma.weighting.checks import check_positive, values_by_task
from multisigma.weighting.constants import constant
from multisigma.weighting.losses import TaskLosses


class SmoothTchebycheff(AdaptiveWeighting):
    r"""Smooth Tchebycheff scalarization: a smooth maximum over tasks of preference * (loss - ideal).

    $$ \mu \log \sum_i \exp\left(\frac{p_i (L_i - z_i)}{\mu}\right) $$

    - $L_i$ is the mean loss of task $i$, $z_i$ its ideal, $p_i$ the preference for it.
    - $\mu$ is the smoothing. The smaller it is, the nearer the objective is to the maximum.

    This is the paper's formula, on the losses themselves. LibMTL applies it to log(L / L0), where L0 is the loss after
    four epochs of warm-up.

    Args:
        tasks: Names of the tasks.
        mu: The smoothing.
        preferences: Preference by task name; 1/K for each of K tasks where not given.
        ideal: Ideal loss by task name; 0 where not given.

    Raises:
        MultisigmaError: `mu` or a preference is not positive and finite, an ideal is not finite, or a name is unknown.

    Example:
        >>> import torch
        >>> from multisigma import SmoothTchebycheff
        >>> weighting = SmoothTchebycheff(["semantic", "depth"], mu=0.01)
        >>> round(weighting({"semantic": torch.tensor(2.0), "depth": torch.tensor(1.0)}).item(), 4)
        1.0
    """

    def __init__(
        self,
        tasks: Iterable[str],
        mu: float = 1.0,
        preferences: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(tasks)
        check_positive("mu", mu)
        self.mu = mu
        self.preferences = tuple(values_by_task(self.tasks, "preferences", preferences or {}, 1 / len(self.tasks)))
        self.ideal = tuple(values_by_task(self.tasks, "ideal", ideal or {}, 0.0))
        for name, value in zip(self.tasks, self.preferences, strict=True):
            if value <= 0:
                raise MultisigmaError(f"Parameter `preferences` must be positive. Found {value} for task {name!r}.")

    def combine(self, batch: TaskLosses) -> Tensor:
        preferences = constant(self.preferences, batch.mean.device)
        terms = preferences * (batch.mean - constant(self.ideal, batch.mean.device))
        # Subtract the largest term first, as in logsumexp, so that dividing by a small mu cannot overflow.
        greatest = terms.detach().where(batch.labelled, -torch.inf).max().nan_to_num(neginf=0.0)
        # A small mu may underflow to 0 in float32, and 0 / 0 is NaN.
        mu = max(self.mu, torch.finfo(terms.dtype).tiny)
        below = (terms - greatest) / mu
        self.remember(preferences * batch.softmax(below), batch)
        # The greatest term adds 1 to the sum. If no task has a label, the sum would be 0. Add 1, so that its logarithm
        # is 0.
        total = batch.sum(torch.exp(below)) + ~batch.labelled.any()
        return greatest + mu * torch.log(total)
