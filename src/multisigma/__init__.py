"""Multi-task learning with learned task uncertainty (Kendall, Gal and Cipolla, CVPR 2018).

`import multisigma` needs torch alone and gives the loss-weighting library. The scene-understanding system lives in the
subpackages (`multisigma.data`, `tasks`, `models`, `metrics`, `training`, `outputs`) and needs the extra `scene`.
"""

from typing import TYPE_CHECKING, Any

from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    from multisigma.weighting import (
        Bernoulli,
        DynamicWeightAverage,
        EqualWeighting,
        ExactBernoulli,
        ExactSoftmax,
        FastAdaptiveWeighting,
        FixedWeighting,
        Gaussian,
        GeometricWeighting,
        GradientAggregation,
        GradNormWeighting,
        ImpartialWeighting,
        Laplace,
        Likelihood,
        LogWeighting,
        Loss,
        Poisson,
        Prediction,
        RandomWeighting,
        RevisedUncertaintyWeighting,
        SmoothTchebycheffWeighting,
        Softmax,
        SoftOptimalUncertaintyWeighting,
        StudentT,
        UncertaintyWeighting,
        Weighting,
    )

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
    "MultisigmaError",
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
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use: the processes that draw street scenes then start without torch.
    if name in __all__:
        from multisigma import weighting

        return getattr(weighting, name)
    raise AttributeError(f"module 'multisigma' has no attribute {name!r}")
