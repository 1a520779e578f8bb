"""Weigh the losses of several tasks. Needs torch alone."""

from multisigma.weighting.base import Weighting
from multisigma.weighting.dynamic_weight_average import DynamicWeightAverage
from multisigma.weighting.famo import FAMO
from multisigma.weighting.fixed import EqualWeighting, FixedWeighting
from multisigma.weighting.gls import GLS
from multisigma.weighting.gradient_aggregation import GradientAggregation
from multisigma.weighting.gradnorm import GradNorm
from multisigma.weighting.imtll import IMTLL
from multisigma.weighting.likelihoods import (
    Bernoulli,
    ExactBernoulli,
    ExactLikelihood,
    ExactSoftmax,
    Exponential,
    Gaussian,
    Laplace,
    Likelihood,
    Poisson,
    Prediction,
    ScaledLikelihood,
    Softmax,
    StudentT,
)
from multisigma.weighting.log_transform import LogTransform
from multisigma.weighting.losses import Loss, TaskLosses
from multisigma.weighting.revised_uncertainty import RevisedUncertaintyWeighting
from multisigma.weighting.rlw import RLW
from multisigma.weighting.smooth_tchebycheff import SmoothTchebycheff
from multisigma.weighting.uncertainty import UncertaintyWeighting
from multisigma.weighting.uwso import UWSO

__all__ = [
    "FAMO",
    "GLS",
    "IMTLL",
    "RLW",
    "UWSO",
    "Bernoulli",
    "DynamicWeightAverage",
    "EqualWeighting",
    "ExactBernoulli",
    "ExactLikelihood",
    "ExactSoftmax",
    "Exponential",
    "FixedWeighting",
    "Gaussian",
    "GradNorm",
    "GradientAggregation",
    "Laplace",
    "Likelihood",
    "LogTransform",
    "Loss",
    "Poisson",
    "Prediction",
    "RevisedUncertaintyWeighting",
    "ScaledLikelihood",
    "SmoothTchebycheff",
    "Softmax",
    "StudentT",
    "TaskLosses",
    "UncertaintyWeighting",
    "Weighting",
]
