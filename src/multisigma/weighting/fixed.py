"""The weighted sum of losses with weights chosen by hand: equation 1 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import PresentLosses, Weighting, masked_sum


class FixedWeighting(Weighting):
    """The sum over tasks of `w * L` with constant weights; equation 1.

    Args:
        weights: Each task's weight, zero or more, by task name.

    Raises:
        MultisigmaError: A weight is negative or not finite.
    """

    _multipliers: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise MultisigmaError(f"Task {name!r}: a weight must be finite and not negative; found {weight}.")
        self._weights = {name: float(weight) for name, weight in weights.items()}
        self.register_buffer(
            "_multipliers", torch.tensor(list(self._weights.values()), dtype=torch.float32), persistent=False
        )

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        return masked_sum(self._multipliers[self.index(names)] * means, labelled)

    def _constants(self) -> dict[str, list[float]]:
        return super()._constants() | {"_multipliers": list(self._weights.values())}

    @property
    def weights(self) -> dict[str, float]:
        self.raise_if_nonfinite()
        return dict(self._weights)

    def get_extra_state(self) -> dict[str, float]:
        """The weights, so that a checkpoint is complete."""
        return dict(self._weights)

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Takes up what `get_extra_state` gave."""
        self._weights = dict(state)
        self._multipliers.copy_(torch.tensor(list(self._weights.values())))


class EqualWeighting(FixedWeighting):
    """The plain sum of the losses.

    Args:
        tasks: The tasks' names.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(tasks, 1.0))
