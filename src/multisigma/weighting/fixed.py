"""Weights by hand: equation 1 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Iterable, Mapping
from numbers import Real

from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.base import Weighting
from multisigma.weighting.checks import check_names
from multisigma.weighting.constants import constant
from multisigma.weighting.losses import TaskLosses


class FixedWeighting(Weighting):
    r"""A weighted sum with constant weights; equation 1.

    $$ \sum_i w_i L_i $$

    - $L_i$ is the mean loss of task $i$ and $w_i$ its weight.

    Args:
        weights: Each task's weight by name, at least 0.

    Raises:
        MultisigmaError: A weight is negative or not finite.

    Example:
        >>> import torch
        >>> from multisigma import FixedWeighting
        >>> weighting = FixedWeighting({"semantic": 0.9, "depth": 0.1})
        >>> weighting({"semantic": torch.tensor(1.0), "depth": torch.tensor(2.0)})
        tensor(1.1000)
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not isinstance(weights, Mapping):
            raise MultisigmaError(
                f"Parameter `weights` must be a dictionary such as {{'depth': 0.1}}. Found {type(weights).__name__}."
            )
        super().__init__(weights)
        for name, weight in weights.items():
            if not (isinstance(weight, Real) and 0 <= float(weight) < math.inf):
                raise MultisigmaError(f"Task {name!r}: a weight must be a finite number from 0. Found {weight!r}.")
        self.given = {name: float(weight) for name, weight in weights.items()}

    def combine(self, batch: TaskLosses) -> Tensor:
        return batch.sum(constant(tuple(self.given.values()), batch.mean.device) * batch.mean)

    @property
    def weights(self) -> dict[str, float]:
        return dict(self.given)


class EqualWeighting(FixedWeighting):
    r"""Equal weights of 1/K for K tasks, labelled or not: the 'unweighted sum' of table 1.

    $$ \frac{1}{K} \sum_i L_i $$

    Table 1 gives 0.333 for each of three tasks. Weights of 1 would make each step K times as large.

    Args:
        tasks: Names of the tasks.

    Raises:
        MultisigmaError: As for `Weighting`.

    Example:
        >>> import torch
        >>> from multisigma import EqualWeighting
        >>> EqualWeighting(["semantic", "depth"])({"semantic": torch.tensor(1.0), "depth": torch.tensor(2.0)})
        tensor(1.5000)
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        names = check_names(tasks)
        super().__init__(dict.fromkeys(names, 1 / len(names)))
