"""From an image to the network's input, and from its outputs to results: the same for every runtime. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.errors import MultisigmaError
from multisigma.models.model_info import ModelInfo
from multisigma.models.scene_prediction import ScenePrediction
from multisigma.tasks import PostprocessContext, Task
from multisigma.tasks import postprocess as postprocess_tasks

if TYPE_CHECKING:
    from multisigma.models.distances import DistanceCalibration

__all__ = ["postprocess", "to_height"]

# Largest width of an enlarged image, in working heights. Without it, a strip of one row would become hundreds of
# frames wide.
_WIDEST = 4


def to_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Resize an image to a height with its aspect ratio kept: by area to shrink, linearly to enlarge.

    A wide strip is enlarged less, so that its width is at most four heights.

    Args:
        image: RGB, shape (H, W, 3).
        height: The height in pixels.

    Raises:
        MultisigmaError: The height is not positive.

    Example:
        >>> to_height(np.zeros((1024, 2048, 3), np.uint8), 256).shape
        (256, 512, 3)
    """
    if height < 1:
        raise MultisigmaError(f"Parameter `height` must be positive. Found {height}.")
    rows, columns = image.shape[:2]
    height = min(height, max(rows, _WIDEST * height * rows // columns))
    if height == rows:
        return image
    return resize_image(image, height, max(1, round(columns * height / rows)))


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize RGB of shape (H, W, 3): by area to shrink, linearly to enlarge."""
    if image.shape[:2] == (height, width):
        return image
    interpolation = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(image, (width, height), interpolation=interpolation)  # type: ignore[assignment]
    return resized


def postprocess(
    image: NDArray[np.uint8],
    outputs: Mapping[str, NDArray[np.float32]],
    info: ModelInfo,
    tasks: Sequence[Task] | None = None,
    camera: Camera | None = None,
    *,
    learned_noise: bool = False,
    calibration: DistanceCalibration | None = None,
) -> ScenePrediction:
    """Return the results of all tasks for one image, at the size of the image, from the outputs of the network.

    The outputs may come from any runtime, and be of any size: lengths, camera and scales are those of their size, and
    are carried to the size of the image.

    Args:
        image: RGB at its own size, shape (H, W, 3).
        outputs: The network's outputs for the resized image, shape (channels, h, w), by task name.
        info: The description of the model.
        tasks: The tasks; None to load those that `info` names.
        camera: The camera at the size of the image, for depth in metres.
        learned_noise: Whether results get the sigma that training has learned, for metrics of calibration.
        calibration: The scale of the distances of this camera, from `calibrate`.

    Raises:
        MultisigmaError: `tasks` is None and a task is not built in.

    Example:
        >>> from multisigma.models import ModelInfo
        >>> info = ModelInfo(("depth",), {"depth": 1}, 4, (0, 0, 0), (1, 1, 1), "resnet18")
        >>> output = np.full((1, 4, 8), 2, np.float32)  # 2 px of disparity in an image of 8 columns
        >>> scene = postprocess(np.zeros((8, 16, 3), np.uint8), {"depth": output}, info)
        >>> scene["depth"].disparity.shape, float(scene["depth"].disparity[0, 0])
        ((8, 16), 4.0)
    """
    tasks = info.load_tasks("`info`") if tasks is None else tasks
    height, width = next(iter(outputs.values())).shape[1:]
    y, x = height / image.shape[0], width / image.shape[1]
    # Both scales hold at the height that the model was trained for. Errors in pixels grow with the image.
    ratio = height / info.working_height
    in_pixels = {task.name for task in tasks if task.unit == "px"}
    noise_scales, sigmas = (
        {name: scale * (ratio if name in in_pixels else 1) for name, scale in scales.items()}
        for scales in (info.noise_scales, info.sigmas if learned_noise else {})
    )
    baseline = None if info.camera is None else info.camera.baseline
    if camera is not None and calibration is not None:
        baseline = (baseline or camera.baseline) * calibration.scale
    context = PostprocessContext(
        labels=info.labels,
        camera=camera and camera.resized(x, y),
        noise_scales=noise_scales,
        temperatures=info.temperatures,
        score_calibrations=info.score_calibrations,
        sigmas=sigmas,
        baseline=baseline,
        calibrated=calibration is not None,
    )
    results = postprocess_tasks(tasks, outputs, context)
    resized = {name: result.resized(*image.shape[:2]) for name, result in results.items()}
    return ScenePrediction(image, resized, tasks, info.labels, camera)
