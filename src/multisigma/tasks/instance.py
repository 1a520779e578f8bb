"""Instance segmentation by centroid votes: a vector from each pixel to its instance's centroid, L1 loss, section 4."""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from multisigma.data.frame import Frame, instance_vectors
from multisigma.data.labels import INSTANCE_CLASSES
from multisigma.data.picture import Picture
from multisigma.data.scene import SceneInstance, cut_instances
from multisigma.instances import VoteSettings, instances_from_votes
from multisigma.metrics import VectorError
from multisigma.tasks.base import RegressionTask
from multisigma.tasks.baselines import ZeroVectors

Votes = Literal["default", "paper"]
"""How votes become instances: as this project measured to be best, or literally as the paper describes it."""
VOTES: tuple[Votes, ...] = get_args(Votes)

_THINGS = [label.train_id for label in INSTANCE_CLASSES]
_LABEL_IDS = {label.train_id: label.id for label in INSTANCE_CLASSES}


class Instance(RegressionTask):
    """Vectors (x, y) in pixels, shape (2, H, W); targets are NaN off the instances.

    Args:
        votes: How votes become instances. 'default' clusters each class by itself with `VoteSettings.for_height`;
            'paper' clusters the pixels of all instance classes together with `VoteSettings.paper`.
    """

    name = "instance"
    channels = 2
    kind = "instances"

    def __init__(self, votes: Votes = "default") -> None:
        self.votes = votes

    def target(self, frame: Frame) -> Tensor:
        if frame.instances is None:
            return torch.full((2, *frame.image.shape[:2]), torch.nan)
        return torch.from_numpy(instance_vectors(frame))

    def predict(self, output: Tensor) -> Tensor:
        return output.float()

    def metrics(self) -> Sequence[Metric]:
        return [VectorError("instance")]

    def postprocess(self, outputs: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"instances": self.cluster(outputs, self.votes)} if "semantic" in outputs else {}

    def cluster(self, outputs: Mapping[str, Tensor], votes: Votes) -> list[SceneInstance]:
        """Return the instances of a frame.

        Args:
            outputs: The outputs of this task and of the semantic one, each of shape (1, channels, H, W), by task name.
            votes: How votes become instances.
        """
        probability, semantic = (t[0].cpu().numpy() for t in outputs["semantic"].float().softmax(1).max(1))
        vectors = self.predict(outputs[self.name])[0].cpu().numpy()
        settings = vote_settings(votes, semantic.shape[0])
        instances = instances_from_votes(vectors, semantic, _THINGS, probability, settings)
        class_ids = [_LABEL_IDS[class_id] for class_id in instances.class_ids.tolist()]
        return cut_instances(instances.ids, class_ids, instances.confidence.tolist())

    def baseline(self) -> ZeroVectors:
        return ZeroVectors()

    def visualize(self, frame: Frame, predictions: Mapping[str, NDArray[Any]]) -> list[Picture]:
        vectors = predictions[self.name].astype(np.float32)
        truth = None if frame.instances is None else instance_vectors(frame)
        longest = max(
            frame.image.shape[1] / 16, 0.0 if truth is None else float(np.nanmax(np.hypot(*truth), initial=0.0))
        )
        true_instances = None
        if frame.instances is not None and frame.centroids is not None:
            true_instances = _colour_ids(np.where(np.isin(frame.instances, list(frame.centroids)), frame.instances, 0))
        true_vectors = None if truth is None else colour_vectors(truth, longest)
        semantic = predictions.get("semantic")
        if semantic is None:
            return [Picture("Instance vectors", colour_vectors(vectors, longest), true_vectors)]
        shown = np.where(np.isin(semantic, _THINGS), vectors, np.nan)
        settings = vote_settings(self.votes, semantic.shape[0])
        instances = instances_from_votes(vectors, semantic, _THINGS, settings=settings)
        return [
            Picture("Instance vectors", colour_vectors(shown, longest), true_vectors),
            Picture("Instances", _colour_ids(instances.ids), true_instances),
        ]


def vote_settings(votes: Votes, height: int) -> VoteSettings:
    """Return the settings of a way from votes to instances for frames of a height in pixels."""
    return VoteSettings.paper(height) if votes == "paper" else VoteSettings.for_height(height)


def colour_vectors(vectors: NDArray[np.float32], longest: float) -> NDArray[np.uint8]:
    """Colours vectors as figure 3 does: hue is the orientation, intensity the length.

    Args:
        vectors: (x, y) in pixels, shape (2, H, W); NaN becomes black.
        longest: The length of full intensity, pixels.

    Returns:
        RGB of shape (H, W, 3).
    """
    x, y = np.nan_to_num(vectors)
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1.0
    # From a dark grey-blue tone upwards, so that short vectors stay apart from pixels without any.
    intensity = np.where(np.isnan(vectors[0]), 0.0, 0.25 + 0.75 * np.clip(np.hypot(x, y) / longest, 0, 1))
    sector = (hue[..., None] * 6 + np.array([0, 4, 2])) % 6
    rgb = np.clip(np.abs(sector - 3) - 1, 0, 1)
    return (255 * intensity[..., None] * rgb).round().astype(np.uint8)


def _colour_ids(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A colour of its own for each instance; 0 is black. Steps of the golden ratio keep neighbouring hues apart."""
    names, index = np.unique(ids, return_inverse=True)
    colours = [
        (0, 0, 0) if name == 0 else colorsys.hsv_to_rgb((0.13 + 0.618034 * k) % 1, 0.55 + 0.25 * (k % 2), 0.95)
        for k, name in enumerate(names)
    ]
    return (255 * np.array(colours)).round().astype(np.uint8)[index.reshape(ids.shape)]
