"""A scene's ids in the classes of other data."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import Label
from multisigma.datasets.scene import (
    PredictedClasses,
    PredictedDisparity,
    PredictedInstances,
    SceneInstance,
    in_classes_of,
)

OTHER = LabelSpace(
    "other",
    (
        Label("nothing", 0, 255, "void", 0, False, True, (0, 0, 0)),
        Label("Car", 1, 0, "vehicle", 1, True, False, (0, 0, 142)),
        Label("road", 2, 1, "flat", 2, False, False, (128, 64, 128)),
    ),
)


def test_ids_are_translated_and_all_else_is_kept() -> None:
    probability = np.array([[0.5, 0.6, 0.7]], np.float32)
    half = np.array([[0.25, 0.3, 0.35]], np.float32)
    mask, vectors = np.ones((1, 1), bool), np.zeros((2, 1, 3), np.float32)
    scene = {
        "semantic": PredictedClasses(np.array([[26, 7, 23]], np.uint8), probability, half),
        "instance": PredictedInstances([SceneInstance(26, 0.9, 0, 0, mask)], vectors, 1.5, 2.5, "gaussian"),
        "depth": PredictedDisparity(np.ones((1, 3), np.float32)),
    }
    found = in_classes_of(scene, CITYSCAPES, OTHER)
    assert found["semantic"].ids.tolist() == [[1, 2, 0]]  # the other data have no sky
    assert found["semantic"].probability is probability
    assert found["semantic"].learned_probability is half
    instances = found["instance"]
    (region,) = instances.regions
    assert (region.class_id, region.confidence, region.top, region.left) == (1, 0.9, 0, 0)
    assert region.mask is mask
    assert instances.values is vectors
    assert (instances.noise_scale, instances.sigma, instances.noise) == (1.5, 2.5, "gaussian")
    assert found["depth"] is scene["depth"]
    assert in_classes_of(scene, CITYSCAPES, CITYSCAPES) is scene


def test_vectors_without_objects_are_kept() -> None:
    scene = {"instance": PredictedInstances(None, np.zeros((2, 1, 3), np.float32))}
    assert in_classes_of(scene, CITYSCAPES, OTHER)["instance"] is scene["instance"]


def test_objects_without_vectors_are_translated() -> None:
    regions = [SceneInstance(26, 0.9, 0, 0, np.ones((1, 1), bool))]
    found = in_classes_of({"instance": SimpleNamespace(regions=regions)}, CITYSCAPES, OTHER)
    assert found["instance"] == PredictedInstances([replace(regions[0], class_id=1)])
