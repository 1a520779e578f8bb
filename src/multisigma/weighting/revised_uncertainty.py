"""Revised uncertainty weighting: Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", arXiv, 2018."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from multisigma.weighting.checks import check_names
from multisigma.weighting.likelihoods import Gaussian
from multisigma.weighting.uncertainty import UncertaintyWeighting


class RevisedUncertaintyWeighting(UncertaintyWeighting):
    r"""Uncertainty weighting with the regulariser `log(1 + sigma^2)`, which is positive.

    $$ \sum_i \frac{1}{2} e^{-s_i} L_i + \log(1 + e^{s_i}) $$

    - $L_i$ is the mean loss of task $i$.
    - $e^{s_i} = \sigma_i^2$ is learned. It is no longer the variance of the residuals: at its optimum
      $\sigma^2 = (L + \sqrt{L^2 + 8 L}) / 4$, which is far above the Gaussian's $L$ for small losses.

    The paper's code learns $\sigma$. Ours learns its logarithm.

    Args:
        tasks: Names of the tasks.
        initial: See `UncertaintyWeighting`.
        bounds: See `UncertaintyWeighting`.

    Raises:
        MultisigmaError: As for `UncertaintyWeighting`.

    Example:
        >>> import torch
        >>> from multisigma import RevisedUncertaintyWeighting
        >>> weighting = RevisedUncertaintyWeighting(["depth"])
        >>> weighting({"depth": torch.tensor(2.0)})
        tensor(1.6931, grad_fn=<SumBackward0>)
    """

    def __init__(
        self,
        tasks: Iterable[str],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
    ) -> None:
        super().__init__(dict.fromkeys(check_names(tasks), Gaussian()), initial, bounds)

    def regulariser(self, log_variance: Tensor) -> Tensor:
        """Return `log(1 + sigma^2)`; shapes (T,)."""
        return F.softplus(log_variance)

    def optimum(self, mean: Tensor) -> Tensor:
        """Return the log variances that minimise the objective at given mean losses; shapes (T,)."""
        return torch.log((mean + (mean.square() + 8 * mean).sqrt()) / 4).clamp(*self.bounds)
