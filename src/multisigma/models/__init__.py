"""The network: encoder, atrous spatial pyramid pooling, a decoder for each task."""

from multisigma.models.complexity import PartComplexity, complexity
from multisigma.models.scene_network import SceneNetwork

__all__ = ["PartComplexity", "SceneNetwork", "complexity"]
