"""The network: encoder, atrous spatial pyramid pooling, a decoder per task; and the model that predicts with it."""

from multisigma.models.complexity import PartComplexity, complexity
from multisigma.models.model_info import ModelInfo
from multisigma.models.scene_model import SceneModel
from multisigma.models.scene_network import SceneNetwork
from multisigma.models.scene_prediction import ScenePrediction

__all__ = ["ModelInfo", "PartComplexity", "SceneModel", "SceneNetwork", "ScenePrediction", "complexity"]
