r"""Likelihoods with a homoscedastic noise scale: section 3.2 of Kendall, Gal and Cipolla (CVPR 2018).

The paper trains the log variance $s = \log \sigma^2$ of each task. Each task adds a term to the objective:

$$ a \, e^{-p s} L + c \, s $$

$L$ is the task's mean loss. The likelihood of the loss gives the three constants:

| likelihood          | factor $a$ | power $p$ | slope $c$ | noise at the optimum        |
| ------------------- | ---------- | --------- | --------- | --------------------------- |
| `Gaussian`          | 1/2        | 1         | D/2       | $\sigma^2 = L / D$          |
| `Laplace`           | 1          | 1/2       | D/2       | $\sigma = L / D$            |
| `Softmax`           | 1          | 1         | D/2       | $\sigma^2 = 2 L / D$        |
| `Bernoulli`         | 1          | 1         | D/2       | $\sigma^2 = 2 L / D$        |
| `Exponential`       | 1          | 1         | D         | $\sigma^2 = L / D$          |
| `Poisson`           | 1          | 0         | 0         | none: weight 1, no noise    |
| an exact likelihood | 1          | 0         | 0         | the noise is inside $L$     |

D is the `dimension`. Terms that depend neither on the network nor on $s$ are left out.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from numbers import Integral
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from multisigma.errors import MultisigmaError


@dataclass(frozen=True, repr=False, kw_only=True)
class Likelihood:
    """The distribution whose negative log likelihood is a task's loss.

    The base class itself has weight 1 and no learned noise. Subclass `ScaledLikelihood` for a mean loss with a learned
    noise, `ExactLikelihood` for a noise inside the loss.

    Args:
        preference: Multiplies the task's whole term, and so its gradient. The optimal noise stays the same. If only the
            loss is multiplied, the learned noise cancels the factor.

    Raises:
        MultisigmaError: `preference` is not positive and finite.
    """

    preference: float = 1.0
    factor: ClassVar[float] = 1.0
    power: ClassVar[float] = 0.0

    @property
    def slope(self) -> float:
        """Coefficient c of the log variance."""
        return 0.0

    def __post_init__(self) -> None:
        if not 0 < self.preference < math.inf:
            raise MultisigmaError(f"Parameter `preference` must be positive and finite. Found {self.preference}.")

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in values.items())})"


@dataclass(frozen=True, repr=False, kw_only=True)
class ScaledLikelihood(Likelihood):
    r"""A likelihood of a mean loss with a learned noise: $a e^{-p s} L + \frac{D}{2} s$.

    Subclasses set `factor` $a$ and `power` $p$.

    Args:
        dimension: Number D of scalar outputs in each element of the mean. Use 1 for a mean over pixels and channels. If
            the loss is a mean over pixels of a sum over D channels, use D: each channel adds its own $\log \sigma$ to
            the sum.
        preference: See `Likelihood`.

    Raises:
        MultisigmaError: `dimension` is not a whole number from 1, or `preference` is not positive and finite.
    """

    dimension: int = 1
    power: ClassVar[float] = 1.0

    @property
    def slope(self) -> float:
        """Coefficient c of the log variance: D/2, one `log(sigma)` for each scalar output."""
        return self.dimension / 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.dimension, Integral) and self.dimension >= 1):
            raise MultisigmaError(f"Parameter `dimension` must be a whole number from 1. Found {self.dimension}.")


class Gaussian(ScaledLikelihood):
    r"""Gaussian noise, for a squared error; equations 5 and 7.

    $$ \frac{1}{2 \sigma^2} L + \log \sigma $$

    where $L$ is the mean of $(y - f)^2$. At fixed residuals the optimum is $\sigma^2 = L$.

    Example:
        >>> from multisigma import Gaussian
        >>> Gaussian()  # for the mean over pixels and channels
        Gaussian()
        >>> Gaussian(dimension=2)  # for the mean over pixels of the sum over two channels
        Gaussian(dimension=2)
    """

    factor = 0.5


class Laplace(ScaledLikelihood):
    r"""Laplace noise of scale $b = \sigma$, for an absolute error; section 3.2.

    $$ \frac{1}{\sigma} L + \log \sigma $$

    where $L$ is the mean of $|y - f|$. At fixed residuals the optimum is $\sigma = L$; the variance is $2 \sigma^2$.

    The paper's vectors and inverse depth have an L1 loss (section 4), so this is their likelihood. In terms of
    $s = \log \sigma^2$ its weight is $e^{-s/2}$. The paper writes no formula for it;
    `Exponential` has the weight $e^{-s}$ instead.

    Example:
        >>> from multisigma import Laplace
        >>> Laplace(dimension=2)  # for the mean L1 norm of two-dimensional vectors
        Laplace(dimension=2)
    """

    power = 0.5


class Softmax(ScaledLikelihood):
    r"""A class label with temperature $\sigma^2$, for a cross entropy; the paper's approximation, equation 10.

    $$ \frac{1}{\sigma^2} L + \log \sigma $$

    where $L$ is the mean cross entropy of the unscaled logits. At a fixed loss the optimum is $\sigma^2 = 2 L$.
    `ExactSoftmax` does without the approximation.

    Example:
        >>> from multisigma import Softmax
        >>> Softmax(preference=3.0)  # pulls three times as hard at the shared layers
        Softmax(preference=3.0)
    """


class Bernoulli(ScaledLikelihood):
    r"""A sigmoid with temperature $\sigma^2$, for a binary cross entropy; approximated as in equation 10.

    $$ \frac{1}{\sigma^2} L + \log \sigma $$

    where $L$ is the mean binary cross entropy of the unscaled logits. A sigmoid is a softmax over the logits $(f, 0)$,
    so equation 10 holds for it. At a fixed loss the optimum is $\sigma^2 = 2 L$.

    Example:
        >>> from multisigma import Bernoulli
        >>> Bernoulli(dimension=5)  # for the sum over five labels, averaged over images
        Bernoulli(dimension=5)
    """


class Exponential(ScaledLikelihood):
    r"""An exponentially distributed loss with mean $\sigma^2 = e^s$: one form that serves every task.

    $$ e^{-s} L + s $$

    At a fixed loss the optimum is $e^s = L$, and the weight is $1 / L$ whatever the task. Most code that copies the
    paper has this form. The paper's figures agree with it: each weight is one over the plotted noise, even for the L1
    losses. The objective is that of `IMTLL`.

    Example:
        >>> from multisigma import Exponential, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"semantic": Exponential(), "depth": Exponential()})
    """

    @property
    def slope(self) -> float:
        """Coefficient c of the log variance: D."""
        return float(self.dimension)


class Poisson(Likelihood):
    r"""Counts, whose variance is their mean: there is no noise to learn, and the weight is 1.

    $$ L $$

    where $L$ is `torch.nn.PoissonNLLLoss`, or any other negative log likelihood that needs no noise scale. The task's
    `sigma` stays at its initial value.

    Example:
        >>> import torch
        >>> from multisigma import Poisson, UncertaintyWeighting
        >>> UncertaintyWeighting({"count": Poisson()})({"count": torch.tensor(1.25)}).item()
        1.25
    """


@dataclass(frozen=True)
class Prediction:
    """A network's output with its target. An `ExactLikelihood` computes its loss from them.

    Args:
        output: The network's output.
        target: The labels.
    """

    output: Tensor
    target: Tensor


class ExactLikelihood(Likelihood, ABC):
    """A likelihood with the noise inside its loss: it takes a `Prediction` instead of a mean loss.

    Its weight is 1, because the noise is already part of the loss. Read the noise from `sigma`.
    """

    @abstractmethod
    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum over labelled elements and their number.

        Args:
            prediction: Output and target of the batch.
            log_variance: The noise's log variance, a scalar in float32 or float64.

        Raises:
            MultisigmaError: Output and target do not fit.
        """


@dataclass(frozen=True, repr=False, kw_only=True)
class ExactSoftmax(ExactLikelihood):
    r"""A class label with temperature $\sigma^2$, without the approximation of equation 10; equations 8 and 9.

    $$ -\log \mathrm{Softmax}(f / \sigma^2)_c $$

    The optimum is the temperature that calibrates the logits (Guo et al., "On Calibration of Modern Neural Networks",
    ICML 2017). In a training from scratch the network can scale its logits as it likes, so the temperature is then not
    a property of the data.

    Takes `Prediction(logits, classes)` with logits of shape (B, C, ...) and integer classes of shape (B, ...), or
    class probabilities of shape (B, C, ...). With probabilities every element counts as labelled.

    Args:
        preference: See `Likelihood`.
        ignore_index: Class of the elements without a label.

    Example:
        >>> import torch
        >>> from multisigma import ExactSoftmax, Prediction, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"semantic": ExactSoftmax(ignore_index=255)})
        >>> logits, classes = torch.zeros(2, 3), torch.tensor([1, 255])
        >>> weighting({"semantic": Prediction(logits, classes)})
        tensor(1.0986, grad_fn=<SumBackward0>)
    """

    ignore_index: int = -100

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        output, target = prediction.output, prediction.target
        if output.ndim < 2:
            raise MultisigmaError(f"Logits must have the shape (B, C, ...). Found {tuple(output.shape)}.")
        logits = at_least_float32(output) * torch.exp(-log_variance)
        if target.is_floating_point():
            _check_shape(output, target, output.shape)
            total = F.cross_entropy(logits, target.to(logits.dtype), reduction="sum")
            return total, torch.tensor(target.numel() / max(output.shape[1], 1), device=output.device)
        _check_shape(output, target, output.shape[:1] + output.shape[2:])
        total = F.cross_entropy(logits, target.long(), ignore_index=self.ignore_index, reduction="sum")
        return total, (target != self.ignore_index).sum()


class ExactBernoulli(ExactLikelihood):
    r"""A binary label with temperature $\sigma^2$, without approximation.

    $$ -y \log \mathrm{sigmoid}(f / \sigma^2) - (1 - y) \log \mathrm{sigmoid}(-f / \sigma^2) $$

    Takes `Prediction(logits, probabilities)` of one shape, with probabilities from 0 to 1, NaN where unlabelled.

    Example:
        >>> import torch
        >>> from multisigma import ExactBernoulli, Prediction, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"moving": ExactBernoulli()})
        >>> weighting({"moving": Prediction(torch.zeros(2), torch.tensor([1.0, torch.nan]))})
        tensor(0.6931, grad_fn=<SumBackward0>)
    """

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        logits, target, labelled = _labelled(prediction)
        entropy = F.binary_cross_entropy_with_logits(logits * torch.exp(-log_variance), target, reduction="none")
        return (entropy * labelled).sum(), labelled.sum()


@dataclass(frozen=True, repr=False, kw_only=True)
class StudentT(ExactLikelihood):
    r"""Student's t noise of scale $\sigma$, a regression that is robust to outliers.

    $$ \frac{\nu + 1}{2} \log\left(1 + \frac{r^2}{\nu \sigma^2}\right) + \log \sigma $$

    for a residual $r$ and $\nu$ degrees of freedom. As a large residual grows, its gradient shrinks. Under Gaussian
    noise the gradient grows, under Laplace noise it is constant. The optimum has no closed form.

    Takes `Prediction(output, target)` of one shape, with a target of NaN where unlabelled.

    Args:
        preference: See `Likelihood`.
        degrees: Degrees of freedom $\nu$. Infinity would be the Gaussian.

    Raises:
        MultisigmaError: `degrees` is not positive and finite.

    Example:
        >>> import torch
        >>> from multisigma import Prediction, StudentT, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"depth": StudentT(degrees=4.0)})
        >>> weighting({"depth": Prediction(torch.zeros(2), torch.tensor([2.0, torch.nan]))})
        tensor(1.7329, grad_fn=<SumBackward0>)
    """

    degrees: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.degrees < math.inf:
            raise MultisigmaError(f"Parameter `degrees` must be positive and finite. Found {self.degrees}.")

    def negative_log_likelihood(self, prediction: Prediction, log_variance: Tensor) -> tuple[Tensor, Tensor]:
        output, target, labelled = _labelled(prediction)
        squares = (output - target).square() * (torch.exp(-log_variance) / self.degrees)
        terms = 0.5 * (self.degrees + 1) * squares.log1p() + 0.5 * log_variance
        return (terms * labelled).sum(), labelled.sum()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or in float64 where it is in float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _labelled(prediction: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, the target with NaN replaced by 0, and the mask of labelled elements."""
    _check_shape(prediction.output, prediction.target, prediction.output.shape)
    labelled = ~prediction.target.isnan()
    output = at_least_float32(prediction.output)
    return output, prediction.target.to(output.dtype).where(labelled, 0.0), labelled


def _check_shape(output: Tensor, target: Tensor, expected: torch.Size) -> None:
    if target.shape != expected:
        raise MultisigmaError(
            f"The target of an output of shape {tuple(output.shape)} must have the shape {tuple(expected)}. "
            f"Found {tuple(target.shape)}."
        )
