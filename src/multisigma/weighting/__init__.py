"""Weighing the losses of several tasks; torch is all that it needs."""

from multisigma.weighting.db_mtl import LogWeighting
from multisigma.weighting.dynamic_weight_average import DynamicWeightAverage
from multisigma.weighting.famo import FastAdaptiveWeighting
from multisigma.weighting.fixed import EqualWeighting, FixedWeighting
from multisigma.weighting.geometric import GeometricWeighting
from multisigma.weighting.gradient_aggregation import GradientAggregation
from multisigma.weighting.gradnorm import GradNormWeighting
from multisigma.weighting.imtl_l import ImpartialWeighting
from multisigma.weighting.likelihoods import (
    Bernoulli,
    ExactBernoulli,
    ExactSoftmax,
    Gaussian,
    Laplace,
    Likelihood,
    Poisson,
    Prediction,
    Softmax,
    StudentT,
)
from multisigma.weighting.random_loss import RandomWeighting
from multisigma.weighting.revised_uncertainty import RevisedUncertaintyWeighting
from multisigma.weighting.smooth_tchebycheff import SmoothTchebycheffWeighting
from multisigma.weighting.uncertainty import UncertaintyWeighting
from multisigma.weighting.uw_so import SoftOptimalUncertaintyWeighting
from multisigma.weighting.weighting import Loss, Weighting

__all__ = [
    "Bernoulli",
    "DynamicWeightAverage",
    "EqualWeighting",
    "ExactBernoulli",
    "ExactSoftmax",
    "FastAdaptiveWeighting",
    "FixedWeighting",
    "Gaussian",
    "GeometricWeighting",
    "GradNormWeighting",
    "GradientAggregation",
    "ImpartialWeighting",
    "Laplace",
    "Likelihood",
    "LogWeighting",
    "Loss",
    "Poisson",
    "Prediction",
    "RandomWeighting",
    "RevisedUncertaintyWeighting",
    "SmoothTchebycheffWeighting",
    "SoftOptimalUncertaintyWeighting",
    "Softmax",
    "StudentT",
    "UncertaintyWeighting",
    "Weighting",
]
