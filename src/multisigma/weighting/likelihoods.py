"""Likelihoods with a homoscedastic noise scale, section 3.2 of Kendall, Gal and Cipolla (CVPR 2018).

Each is written in the log variance `s = log(sigma^2)`, which the paper trains. Most weigh a mean loss: the negative log
likelihood, constants dropped, is `weight(s) * L + normaliser(s)`. For the others the noise stands inside the loss; they
take what the network gave and what it should have given, as a `Prediction`.
"""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from multisigma.errors import MultisigmaError


@runtime_checkable
class Likelihood(Protocol):
    """What a loss stands for: any object with these two methods serves. Both work element by element."""

    def weight(self, log_variance: Tensor) -> Tensor:
        """The factor before the task's mean loss."""

    def normaliser(self, log_variance: Tensor) -> Tensor:
        """The term that keeps the noise from growing without bound."""


@dataclass(frozen=True)
class Prediction:
    """A network's output and its target, for a likelihood whose noise stands inside the loss."""

    output: Tensor
    target: Tensor


def at_least_single(tensor: Tensor) -> Tensor:
    """In float32, unless it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class NoiseInside:
    """A likelihood that takes a `Prediction`; its `weight` is for logs alone, and nothing is left to normalise."""

    def weight(self, log_variance: Tensor) -> Tensor:
        """The factor before the logits: the effective multiplier that logs show."""
        return (-log_variance).exp()

    def normaliser(self, log_variance: Tensor) -> Tensor:
        """Zero: the normalising term is part of the loss."""
        return torch.zeros_like(log_variance)

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over labelled elements, and their number."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scaled:
    """The family `factor * exp(-power * s) * L + dimension * s / 2`, to which the paper's likelihoods belong.

    Args:
        dimension: The scalar outputs that each element of the mean stands for. A mean over pixels and channels has 1;
            a mean over pixels of a sum over D channels has D, for each of its residuals has a `log(sigma)` of its own.

    Raises:
        MultisigmaError: The dimension is no whole number from 1.
    """

    dimension: int = 1
    factor: ClassVar[float]
    power: ClassVar[float]

    def __post_init__(self) -> None:
        if not (isinstance(self.dimension, Integral) and self.dimension >= 1):
            raise MultisigmaError(f"Parameter `dimension` must be a whole number from 1; found {self.dimension}.")

    def weight(self, log_variance: Tensor) -> Tensor:
        """`factor * exp(-power * s)`."""
        return self.factor * (-self.power * log_variance).exp()

    def normaliser(self, log_variance: Tensor) -> Tensor:
        """`dimension * s / 2`, that is, `log(sigma)` for each scalar output."""
        return (0.5 * self.dimension) * log_variance

    def optimum(self, loss: Tensor) -> Tensor:
        """The log variance that minimises the negative log likelihood at a fixed mean loss."""
        return (loss * (2.0 * self.factor * self.power / self.dimension)).log() / self.power


class Gaussian(Scaled):
    """Gaussian noise: `L / (2 sigma^2) + log(sigma)` with `L` the mean of `(y - f)^2`; equations 5 and 7.

    Optimum over the noise at fixed residuals: `sigma^2 = L`. With D output channels pass the mean over pixels and
    channels, or their sum over channels with `dimension=D`; the optimum is then `sigma^2 = L / D`.
    """

    factor, power = 0.5, 1.0


class Laplace(Scaled):
    """Laplace noise of scale `b = sigma`: `L / b + log(b)` with `L` the mean of `|y - f|`; section 3.2.

    The likelihood of an L1 loss, which the paper's instance vectors and inverse depth have (section 4). Optimum over
    the noise at fixed residuals: `b = L`; the variance is `2 b^2`. With D output channels pass the mean over pixels and
    channels, or their sum over channels with `dimension=D`; the optimum is then `b = L / D`.
    """

    factor, power = 1.0, 0.5


class Softmax(Scaled):
    """A class with temperature `sigma^2`, in the paper's approximation: `L / sigma^2 + log(sigma)`; equation 10.

    `L` is the mean cross entropy of the unscaled logits. Optimum over the noise at a fixed loss: `sigma^2 = 2 L`. With
    D class maps of one noise pass the sum of their cross entropies and `dimension=D`.
    """

    factor, power = 1.0, 1.0


class Bernoulli(Scaled):
    """Yes or no with temperature `sigma^2`, approximated as the softmax is: `L / sigma^2 + log(sigma)`.

    A sigmoid is a softmax over the logits (f, 0), so that equation 10 holds for it as it stands. `L` is the mean binary
    cross entropy of the unscaled logits, over elements and labels; a sum over D labels has `dimension=D`. Optimum over
    the noise at a fixed loss: `sigma^2 = 2 L / D`.
    """

    factor, power = 1.0, 1.0


@dataclass(frozen=True)
class Poisson:
    """Counts: the variance is the mean, and there is no noise to learn; weight 1.

    `L` is `torch.nn.PoissonNLLLoss`, or any other negative log likelihood that is complete in itself. The task's
    `sigma` means nothing: it stays where it starts, and is 1 in closed form.
    """

    def weight(self, log_variance: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(log_variance)

    def normaliser(self, log_variance: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(log_variance)

    def optimum(self, loss: Tensor) -> Tensor:
        """Zero: any value serves."""
        return torch.zeros_like(loss)


@dataclass(frozen=True)
class ExactSoftmax(NoiseInside):
    """A class with temperature `sigma^2`, exactly: the cross entropy of `logits / sigma^2`; equations 8 and 9.

    Takes `Prediction(logits, classes)` with logits (B, C, ...) and integer classes (B, ...); or with probabilities of
    the logits' shape, which all count as labelled. The optimum over the noise is the temperature that calibrates the
    logits (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    In a training from scratch it is not a property of the data: the network can scale its logits as it likes.

    Args:
        ignore_index: The class of elements without a label.
    """

    ignore_index: int = -100

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over labelled elements, and their number."""
        output, target = prediction.output, prediction.target
        if output.ndim < 2:
            raise MultisigmaError(f"Logits must have the shape (B, C, ...); found {tuple(output.shape)}.")
        logits = at_least_single(output) * (-log_variance).exp()
        if target.is_floating_point():
            _check_shapes(output.shape, target.shape, output.shape)
            total = F.cross_entropy(logits, target.to(logits.dtype), reduction="sum")
            return total, torch.tensor(target.numel() / max(output.shape[1], 1), device=output.device)
        _check_shapes(output.shape, target.shape, output.shape[:1] + output.shape[2:])
        total = F.cross_entropy(logits, target.long(), ignore_index=self.ignore_index, reduction="sum")
        return total, (target != self.ignore_index).sum()


def _check_shapes(output: torch.Size, target: torch.Size, expected: torch.Size) -> None:
    if target != expected:
        raise MultisigmaError(
            f"The target of an output of shape {tuple(output)} must have the shape {tuple(expected)}; found "
            f"{tuple(target)}."
        )


def _labelled(prediction: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    """Output, target with zeros where it is NaN, and the mask of labelled elements."""
    _check_shapes(prediction.output.shape, prediction.target.shape, prediction.output.shape)
    labelled = ~prediction.target.isnan()
    output = at_least_single(prediction.output)
    return output, prediction.target.to(output.dtype).where(labelled, 0.0), labelled


@dataclass(frozen=True)
class ExactBernoulli(NoiseInside):
    """Yes or no with temperature `sigma^2`, exactly: the binary cross entropy of `logits / sigma^2`.

    Takes `Prediction(logits, probabilities)` of one shape, probabilities from 0 to 1, NaN for elements without a label.
    """

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over labelled elements, and their number."""
        logits, target, labelled = _labelled(prediction)
        entropy = F.binary_cross_entropy_with_logits(logits * (-log_variance).exp(), target, reduction="none")
        return (entropy * labelled).sum(), labelled.sum()


@dataclass(frozen=True)
class StudentT(NoiseInside):
    """Student's t noise of scale sigma: `(v + 1) / 2 * log(1 + r^2 / (v sigma^2)) + log(sigma)` for a residual r.

    A regression that outliers do not carry away: a residual far beyond sigma pulls ever less, where a Gaussian's pull
    grows and a Laplace's stays. Takes `Prediction(output, target)` of one shape, NaN for elements without a label.
    There is no closed form for its optimum.

    Args:
        degrees: Degrees of freedom v; infinity would be the Gaussian.

    Raises:
        MultisigmaError: The degrees of freedom are not positive and finite.
    """

    degrees: float = 4.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.degrees) and self.degrees > 0):
            raise MultisigmaError(f"Parameter `degrees` must be positive and finite; found {self.degrees}.")

    def weight(self, log_variance: Tensor) -> Tensor:
        """The factor before small squared residuals: the effective multiplier that logs show."""
        return (self.degrees + 1) / (2 * self.degrees) * (-log_variance).exp()

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over labelled elements, and their number."""
        output, target, labelled = _labelled(prediction)
        squares = (output - target).square() * ((-log_variance).exp() / self.degrees)
        each = (0.5 * (self.degrees + 1)) * squares.log1p() + 0.5 * log_variance
        return (each * labelled).sum(), labelled.sum()
