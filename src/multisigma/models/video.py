"""A model on a video: identities and depth over time, and the annotated video."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.datasets.videos import Video, VideoWriter
from multisigma.models.scene_prediction import ScenePrediction
from multisigma.progress import SILENT, Progress
from multisigma.tasks import DepthResult, InstanceResult, SemanticResult
from multisigma.tracking import DepthSteadier, Tracker

if TYPE_CHECKING:
    from multisigma.models.distances import DistanceCalibration
    from multisigma.models.inference import Inference
    from multisigma.models.scene_predictor import ScenePredictor

__all__ = ["follow", "predict_video"]


def follow(
    scenes: Iterable[ScenePrediction], tracker: Tracker | None = None, steadier: DepthSteadier | None = None
) -> Iterator[ScenePrediction]:
    """Connect the predictions of consecutive frames.

    Args:
        scenes: The predictions, in the order of the frames.
        tracker: Gives each object a number that it keeps, `scene["instance"][i].track`; None for no numbers.
        steadier: Averages the disparity over time; None for the disparity of each frame by itself.

    Example:
        frames = model.predict_all(Video(Path("street.mp4")))
        for scene in follow(frames, Tracker(), DepthSteadier()):
            print([(instance.class_name, instance.track) for instance in scene["instance"]])
    """
    for scene in scenes:
        instances, depth = (scene.get(name) for name in ("instance", "depth"))
        if isinstance(instances, InstanceResult) and instances.instances is not None:
            if tracker is not None:
                instances = instances.tracked(tracker.update(instances))
        else:
            instances = None
        if steadier is not None and isinstance(depth, DepthResult):
            steady = steadier.update(scene.image, depth.disparity, _labels(scene, instances))
            depth = replace(depth, disparity=steady)
            instances = instances and instances.with_distances(depth)
            scene = scene.replaced("depth", depth)
        if instances is not None:
            scene = scene.replaced("instance", instances)
        yield scene


def _labels(scene: ScenePrediction, instances: InstanceResult | None) -> NDArray[np.int32]:
    """Return the number of each pixel's object, and below zero the class where there is none; shape (H, W)."""
    semantic = cast(SemanticResult | None, scene.get("semantic"))
    labels = np.zeros(scene.image.shape[:2], np.int32) if semantic is None else -semantic.ids.astype(np.int32)
    for number, instance in enumerate(instances or (), 1):
        left, top, right, bottom = instance.box
        labels[top:bottom, left:right][instance.region.mask] = instance.track or number
    return labels


def predict_video(
    model: ScenePredictor,
    video: Video,
    path: Path,
    camera: Camera | None = None,
    height: int | None = None,
    *,
    batch: int = 1,
    inference: Inference | None = None,
    calibration: DistanceCalibration | None = None,
    tracker: Tracker | None = None,
    steadier: DepthSteadier | None = None,
    frame_done: Callable[[str, ScenePrediction], None] | None = None,
    most: int | None = None,
    progress: Progress = SILENT,
) -> tuple[int, float]:
    """Predict a video, and write an annotated one.

    Args:
        model: The model.
        video: The video or camera. A camera ends with `most` frames, or when the user interrupts.
        path: The video to write; see `VideoWriter`. It appears whole or not at all.
        camera: The camera at the size of the video.
        height: Working height in pixels; None for the model's own.
        batch: How many frames the network sees at once.
        inference: Averaging, tiles and precision.
        calibration: The scale of the distances of this camera.
        tracker: Gives objects numbers that they keep.
        steadier: Averages the disparity over time.
        frame_done: Called with each frame's name, NAME_000000 and so on, and its prediction.
        most: Largest number of frames; None for all.
        progress: Takes the number of frames that are done, and frames per second.

    Returns:
        The number of frames, and frames per second.

    Raises:
        MultisigmaError: The video holds no frame, or a file cannot be written.
    """
    frames = model.predict_all(
        islice(video, most), camera, height, batch=batch, inference=inference, calibration=calibration
    )
    total = min(count for count in (video.frames, most, 2**31) if count is not None)
    done, begin = 0, time.monotonic()
    progress.start(video.name, 0 if total == 2**31 else total)
    try:
        with VideoWriter(path, video.rate) as writer:
            try:
                for scene in follow(frames, tracker, steadier):
                    writer.write(scene.annotate())
                    if frame_done is not None:
                        frame_done(f"{video.name}_{done:06d}", scene)
                    done += 1
                    progress.update(done, f"{done / (time.monotonic() - begin):.1f} frames/s")
            except KeyboardInterrupt:
                # The usual end of a camera's video.
                if not isinstance(video.source, int) or not done:
                    raise
    finally:
        progress.stop()
    return done, done / (time.monotonic() - begin)
