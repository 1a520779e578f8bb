"""What a metric takes: a system's prediction for one frame, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.datasets.label_space import LabelSpace

__all__ = [
    "DensePrediction",
    "DisparityPrediction",
    "InstancePrediction",
    "PredictedClasses",
    "PredictedDisparity",
    "PredictedInstances",
    "Scene",
    "SceneInstance",
    "SemanticPrediction",
    "boxes",
    "cut_instances",
    "in_classes_of",
]

Scene = Mapping[str, Any]
"""The result of each task for one image, by task name, at the size of the image.

A metric states which of the types below it takes: `result: SemanticPrediction | None = scene.get("semantic")`. The
metrics of a user's own task may take a result of any type.
"""


class SemanticPrediction(Protocol):
    """Class of each pixel, `scene["semantic"]`."""

    @property
    def ids(self) -> NDArray[np.uint8]:
        """Ids of the label space, shape (H, W)."""

    @property
    def probability(self) -> NDArray[np.float32] | None:
        """Probability of each pixel's class, shape (H, W); None if not known."""

    @property
    def learned_probability(self) -> NDArray[np.float32] | None:
        """The same with the temperature that training has learned; None if not known."""


class InstancePrediction(Protocol):
    """Objects, `scene["instance"]`."""

    @property
    def regions(self) -> Sequence[SceneInstance] | None:
        """Class, score and mask of each object; None if the system gives no objects."""


class DisparityPrediction(Protocol):
    """Disparity, `scene["depth"]`."""

    @property
    def disparity(self) -> NDArray[np.float32]:
        """Pixels at the size of the image, shape (H, W)."""


class DensePrediction(Protocol):
    """Values for each pixel with the scales of their errors: the result of any regression."""

    @property
    def values(self) -> NDArray[np.floating] | None:
        """In the form of the task's targets, shape (channels, H, W); None if only objects are known."""

    @property
    def noise_scale(self) -> float | None:
        """Scale of the errors over validation frames; None if not measured."""

    @property
    def sigma(self) -> float | None:
        """Scale of the noise that training has learned; None if not known."""

    @property
    def noise(self) -> str:
        """The distribution of the errors, 'laplace' or 'gaussian'."""


@dataclass(frozen=True, slots=True)
class SceneInstance:
    """One predicted object.

    Args:
        class_id: Raw label id of its class, such as 26 for a car.
        confidence: How sure the system is, any finite number; higher is surer.
        top: First row of its mask in the frame.
        left: First column of its mask in the frame.
        mask: Which pixels are its own, from there on; shape (h, w).
    """

    class_id: int
    confidence: float
    top: int
    left: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PredictedClasses:
    """A `SemanticPrediction` from a file or a baseline."""

    ids: NDArray[np.uint8]
    probability: NDArray[np.float32] | None = None
    learned_probability: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class PredictedInstances:
    """An `InstancePrediction` from files, or, with its vectors, from a model; then also a `DensePrediction`."""

    regions: Sequence[SceneInstance] | None
    values: NDArray[np.float32] | None = None
    noise_scale: float | None = None
    sigma: float | None = None
    noise: str = "laplace"


@dataclass(frozen=True, slots=True)
class PredictedDisparity:
    """A `DisparityPrediction` from a file."""

    disparity: NDArray[np.float32]


def in_classes_of(scene: Scene, predicted: LabelSpace, wanted: LabelSpace) -> Scene:
    """Translate the class ids of a scene from one label space to another; see `LabelSpace.onto`.

    Args:
        scene: The result of each task.
        predicted: The label space of its ids.
        wanted: The label space of the data.
    """
    if predicted == wanted:
        return scene
    table = predicted.onto(wanted)
    results = dict(scene)
    semantic: SemanticPrediction | None = scene.get("semantic")
    if semantic is not None:
        results["semantic"] = PredictedClasses(table[semantic.ids], semantic.probability, semantic.learned_probability)
    instance: Any = scene.get("instance")
    if instance is not None and instance.regions is not None:
        regions = [replace(region, class_id=int(table[region.class_id])) for region in instance.regions]
        # A user's own result may have regions alone.
        names = [name for name in ("values", "noise_scale", "sigma", "noise") if hasattr(instance, name)]
        results["instance"] = PredictedInstances(regions, **{name: getattr(instance, name) for name in names})
    return results


@njit(cache=True)
def boxes(ids: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The smallest box around each id.

    Args:
        ids: Integers from 0 to count - 1, shape (H, W).
        count: The number of ids.

    Returns:
        First row, row after the last, first column, column after the last; shape (count, 4). Zeros for an absent id.
    """
    found = np.zeros((count, 4), np.int64)
    for y in range(len(ids)):
        row, begin = ids[y], 0
        for x in range(1, len(row) + 1):
            if x == len(row) or row[x] != row[begin]:
                box = found[row[begin]]
                if box[1] == 0:
                    box[0], box[2] = y, begin
                box[1] = y + 1
                box[2] = min(box[2], begin)
                box[3] = max(box[3], x)
                begin = x
    return found


def cut_instances(
    ids: NDArray[np.integer], class_ids: Sequence[int], confidences: Sequence[float]
) -> list[SceneInstance]:
    """The objects of a map of ids.

    Args:
        ids: Object of each pixel, i + 1 for row i of the other two, 0 where there is none; shape (H, W).
        class_ids: Raw label id of each object.
        confidences: Confidence of each object.

    Returns:
        The objects that have a pixel.
    """
    instances = []
    found = boxes(ids, len(class_ids) + 1)[1:]
    for index, (box, class_id, confidence) in enumerate(zip(found.tolist(), class_ids, confidences, strict=True), 1):
        top, bottom, left, right = box
        if bottom:
            mask = ids[top:bottom, left:right] == index
            instances.append(SceneInstance(int(class_id), float(confidence), top, left, mask))
    return instances
