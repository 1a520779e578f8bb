"""Multi-task learning with learned task uncertainty (Kendall, Gal and Cipolla, CVPR 2018).

`import multisigma` needs torch alone and gives the loss-weighting library. The scene-understanding system is in the
other subpackages (`multisigma.datasets`, `tasks`, `models`, `training`, ...) and needs the extra `scene`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    from multisigma.models.onnx_scene_model import OnnxSceneModel
    from multisigma.models.postprocess import postprocess
    from multisigma.models.scene_model import SceneModel
    from multisigma.weighting import (
        FAMO,
        GLS,
        IMTLL,
        RLW,
        UWSO,
        Bernoulli,
        DynamicWeightAverage,
        EqualWeighting,
        ExactBernoulli,
        ExactLikelihood,
        ExactSoftmax,
        Exponential,
        FixedWeighting,
        Gaussian,
        GradientAggregation,
        GradNorm,
        Laplace,
        Likelihood,
        LogTransform,
        Loss,
        Poisson,
        Prediction,
        RevisedUncertaintyWeighting,
        ScaledLikelihood,
        SmoothTchebycheff,
        Softmax,
        StudentT,
        TaskLosses,
        UncertaintyWeighting,
        Weighting,
    )

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
    "MultisigmaError",
    "OnnxSceneModel",
    "Poisson",
    "Prediction",
    "RevisedUncertaintyWeighting",
    "ScaledLikelihood",
    "SceneModel",
    "SmoothTchebycheff",
    "Softmax",
    "StudentT",
    "TaskLosses",
    "UncertaintyWeighting",
    "Weighting",
    "postprocess",
]
__version__ = "0.1.0"

_OF_MODELS = {"OnnxSceneModel": "onnx_scene_model", "SceneModel": "scene_model", "postprocess": "postprocess"}


def __getattr__(name: str) -> Any:
    # On first use: the processes that draw street scenes then start without torch.
    if name in _OF_MODELS:
        try:
            module = importlib.import_module(f"multisigma.models.{_OF_MODELS[name]}")
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{name} needs the extra 'scene' (found no {error.name}): pip install 'multisigma[scene]'"
            ) from error
        return getattr(module, name)
    if name in __all__:
        from multisigma import weighting

        return getattr(weighting, name)
    raise AttributeError(f"module 'multisigma' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
