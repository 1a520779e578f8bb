"""Likelihoods with a homoscedastic noise scale, section 3.2 of Kendall, Gal and Cipolla (CVPR 2018).

Each is written in the log variance `s = log(sigma^2)`, which the paper trains. The negative log likelihood of one
scalar output, constants dropped, is `weight(s) * L + normaliser(s)` with `L` the task's mean loss.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Likelihood(Protocol):
    """What a loss stands for: any object with these two methods serves."""

    def weight(self, log_variance: Tensor) -> Tensor:
        """The factor before the task's mean loss, for the scalar `log_variance`."""

    def normaliser(self, log_variance: Tensor) -> Tensor:
        """The term that keeps the noise from growing without bound, for the scalar `log_variance`."""


class _LogSigma:
    """The normaliser that all three likelihoods share: `log(sigma) = s / 2` for each scalar output."""

    def normaliser(self, log_variance: Tensor) -> Tensor:
        return 0.5 * log_variance

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Gaussian(_LogSigma):
    """Gaussian noise: `L / (2 sigma^2) + log(sigma)` with `L` the mean of `(y - f)^2`; equations 5 and 7.

    Optimum over the noise at fixed residuals: `sigma^2 = L`. With D output channels pass the mean over pixels and
    channels.
    """

    def weight(self, log_variance: Tensor) -> Tensor:
        return 0.5 * (-log_variance).exp()


class Laplace(_LogSigma):
    """Laplace noise of scale `b = sigma`: `L / b + log(b)` with `L` the mean of `|y - f|`; section 3.2.

    The likelihood of an L1 loss, which the paper's instance vectors and inverse depth have (section 4). Optimum over
    the noise at fixed residuals: `b = L`; the variance is `2 b^2`. With D output channels pass the mean over pixels and
    channels.
    """

    def weight(self, log_variance: Tensor) -> Tensor:
        return (-0.5 * log_variance).exp()


class Softmax(_LogSigma):
    """A class with temperature `sigma^2`, in the paper's approximation: `L / sigma^2 + log(sigma)`; equation 10.

    `L` is the mean cross entropy of the unscaled logits. Optimum over the noise at a fixed loss: `sigma^2 = 2 L`.
    """

    def weight(self, log_variance: Tensor) -> Tensor:
        return (-log_variance).exp()
