"""The network: encoder, atrous spatial pyramid pooling, a decoder per task; and the model that predicts with it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multisigma.models.distances import DistanceCalibration, calibrate
    from multisigma.models.inference import Inference
    from multisigma.models.model_info import ModelInfo
    from multisigma.models.onnx_scene_model import OnnxSceneModel
    from multisigma.models.scene_model import SceneModel
    from multisigma.models.scene_network import SceneNetwork
    from multisigma.models.scene_prediction import ScenePrediction
    from multisigma.models.scene_predictor import ScenePredictor
    from multisigma.models.video import follow, predict_video

__all__ = [
    "DistanceCalibration",
    "Inference",
    "ModelInfo",
    "OnnxSceneModel",
    "SceneModel",
    "SceneNetwork",
    "ScenePrediction",
    "ScenePredictor",
    "calibrate",
    "follow",
    "predict_video",
]

_MODULES = {
    "DistanceCalibration": "distances",
    "Inference": "inference",
    "ModelInfo": "model_info",
    "OnnxSceneModel": "onnx_scene_model",
    "SceneModel": "scene_model",
    "SceneNetwork": "scene_network",
    "ScenePrediction": "scene_prediction",
    "ScenePredictor": "scene_predictor",
    "calibrate": "distances",
    "follow": "video",
    "predict_video": "video",
}


def __getattr__(name: str) -> Any:
    # On first use: an exported model predicts without torch.
    if name in _MODULES:
        return getattr(importlib.import_module(f"multisigma.models.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'multisigma.models' has no attribute {name!r}")
