"""The weighted sum of losses with weights chosen by hand: equation 1 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Mapping

from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import Weighting


class FixedWeighting(Weighting):
    """The sum over tasks of `w * L` with constant weights; equation 1.

    Args:
        weights: Each task's weight, zero or more, by task name.

    Raises:
        MultisigmaError: A weight is negative or not finite.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise MultisigmaError(f"Task {name!r}: a weight must be finite and not negative; found {weight}.")
        self._weights = {name: float(weight) for name, weight in weights.items()}

    def term(self, name: str, mean: Tensor) -> Tensor:
        return self._weights[name] * mean

    @property
    def weights(self) -> dict[str, float]:
        return dict(self._weights)

    def get_extra_state(self) -> dict[str, float]:
        """The weights, so that a checkpoint is complete."""
        return self.weights

    def set_extra_state(self, state: dict[str, float]) -> None:
        self._weights = dict(state)
