"""Weighing the losses of several tasks; torch is all that it needs."""

from multisigma.weighting.fixed import FixedWeighting
from multisigma.weighting.likelihoods import Gaussian, Laplace, Likelihood, Softmax
from multisigma.weighting.uncertainty import UncertaintyWeighting
from multisigma.weighting.weighting import Loss, Weighting, mean_loss

__all__ = [
    "FixedWeighting",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "Loss",
    "Softmax",
    "UncertaintyWeighting",
    "Weighting",
    "mean_loss",
]
