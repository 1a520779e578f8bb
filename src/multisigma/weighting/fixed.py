"""The weighted sum of losses with weights chosen by hand: equation 1 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.task_state import checked_names
from multisigma.weighting.weighting import PresentLosses, Weighting, masked_sum


class FixedWeighting(Weighting):
    """The sum over tasks of `w * L` with constant weights; equation 1.

    Args:
        weights: Each task's weight, zero or more, by task name.

    Raises:
        MultisigmaError: A weight is negative or not finite.
    """

    multipliers: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise MultisigmaError(f"Task {name!r}: a weight must be finite and not negative; found {weight}.")
        self._given = [float(weight) for weight in weights.values()]
        self.register_buffer("multipliers", torch.tensor(self._given, dtype=torch.float32))

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        return masked_sum(self.multipliers[self.index(names)] * means, labelled)

    @property
    def weights(self) -> dict[str, float]:
        # As they were given, unless a checkpoint has brought others.
        single = torch.tensor(self._given, dtype=torch.float32).tolist()
        held = self.by_name(self.multipliers)
        return {n: g if s == h else h for (n, h), g, s in zip(held.items(), self._given, single, strict=True)}


class EqualWeighting(FixedWeighting):
    """The plain sum of the losses.

    Args:
        tasks: The tasks' names.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(checked_names(tasks), 1.0))
