"""Uncertainty weighting with a positive total: Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", 2018."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from multisigma.weighting.task_state import checked_names
from multisigma.weighting.uncertainty import UncertaintyWeighting


@dataclass(frozen=True)
class _Revised:
    def weight(self, log_variance: Tensor) -> Tensor:
        return 0.5 * (-log_variance).exp()

    def normaliser(self, log_variance: Tensor) -> Tensor:
        return F.softplus(log_variance)


class RevisedUncertaintyWeighting(UncertaintyWeighting):
    """The sum of `L / (2 sigma^2) + log(1 + sigma^2)`: the total stays positive, and the noise is no longer a noise.

    At its optimum `sigma^2 = (L + sqrt(L^2 + 8 L)) / 4`, which for small losses is far above the Gaussian's `L`.

    Args:
        tasks: The tasks' names.
        initial: The log variance to start from, as in `UncertaintyWeighting`.
        bounds: Lowest and highest log variance, as there.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
    ) -> None:
        super().__init__(dict.fromkeys(checked_names(tasks), _Revised()), initial, bounds)
