"""Scenes as metrics take them, and what metrics make of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multisigma.datasets.frame import Frame
from multisigma.datasets.scene import PredictedClasses, PredictedDisparity, PredictedInstances, SceneInstance
from multisigma.metrics import Metric

Scene = dict[str, Any]


def scene_of(
    ids: np.ndarray | None = None,
    regions: Sequence[SceneInstance] | None = None,
    disparity: np.ndarray | None = None,
) -> Scene:
    """Return the results of the tasks that have one."""
    scene: Scene = {}
    if ids is not None:
        scene["semantic"] = PredictedClasses(ids)
    if regions is not None:
        scene["instance"] = PredictedInstances(regions)
    if disparity is not None:
        scene["depth"] = PredictedDisparity(disparity)
    return scene


def numbers(metric: Metric, case: Sequence[tuple[Scene, Frame]]) -> dict[str, Any]:
    """Return a metric's numbers over frames by key, shares as fractions; and `{key}_per_class`, if it has classes."""
    counts = [metric.count(scene, frame) for scene, frame in case]
    found: dict[str, Any] = {}
    for m in metric.summarise([of_frame for of_frame in counts if of_frame]):
        scale = 100 if m.unit == "%" else 1
        found[m.key] = m.value / scale
        if m.per_class:
            found[f"{m.key}_per_class"] = {name: value / scale for name, value in m.per_class.items()}
    return found
