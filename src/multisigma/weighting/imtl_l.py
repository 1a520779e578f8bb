"""The loss part of IMTL: Liu et al., "Towards Impartial Multi-Task Learning", ICLR 2021."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multisigma.weighting.likelihoods import Scaled
from multisigma.weighting.task_state import checked_names
from multisigma.weighting.uncertainty import UncertaintyWeighting


@dataclass(frozen=True)
class _Impartial(Scaled):
    dimension: int = 2
    factor, power = 1.0, 1.0


class ImpartialWeighting(UncertaintyWeighting):
    """IMTL-L: the sum of `exp(a) L - a` with a learned scale `a` for each task, so that each `exp(a) L` goes to 1.

    In our letters `a = -s`: uncertainty weighting with the normaliser `s` in place of `s / 2`.

    Args:
        tasks: The tasks' names.
        initial: `-a` to start from, as in `UncertaintyWeighting`.
        bounds: Lowest and highest `-a`, as there.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
    ) -> None:
        super().__init__(dict.fromkeys(checked_names(tasks), _Impartial()), initial, bounds)
