"""IMTL-L: Liu et al., "Towards Impartial Multi-Task Learning", ICLR 2021."""

from collections.abc import Iterable, Mapping

from multisigma.weighting.checks import check_names
from multisigma.weighting.likelihoods import Exponential
from multisigma.weighting.uncertainty import UncertaintyWeighting


class IMTLL(UncertaintyWeighting):
    r"""The loss part of impartial multi-task learning: a learned scale brings every loss to 1.

    $$ \sum_i e^{-s_i} L_i + s_i $$

    - $L_i$ is the mean loss of task $i$.
    - $e^{-s_i}$ is its learned scale. At the optimum $e^{-s_i} L_i = 1$.

    Our $s$ is the negative of the paper's scale parameter. The method is uncertainty weighting with the likelihood
    `Exponential` for every task.

    Args:
        tasks: Names of the tasks.
        initial: See `UncertaintyWeighting`.
        bounds: See `UncertaintyWeighting`.

    Raises:
        MultisigmaError: As for `UncertaintyWeighting`.

    Example:
        >>> import torch
        >>> from multisigma import IMTLL
        >>> IMTLL(["semantic", "depth"])({"semantic": torch.tensor(2.0), "depth": torch.tensor(0.5)}).item()
        2.5
    """

    def __init__(
        self,
        tasks: Iterable[str],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
    ) -> None:
        super().__init__(dict.fromkeys(check_names(tasks), Exponential()), initial, bounds)
