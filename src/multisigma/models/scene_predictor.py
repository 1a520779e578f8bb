"""The base class of models that predict scenes. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.datasets.photographs import AnyImage, read_photograph
from multisigma.errors import MultisigmaError
from multisigma.models.model_info import ModelInfo
from multisigma.models.postprocess import postprocess, to_height
from multisigma.models.scene_prediction import ScenePrediction
from multisigma.tasks import Task

if TYPE_CHECKING:
    from multisigma.models.distances import DistanceCalibration
    from multisigma.models.inference import Inference

__all__ = ["ScenePredictor"]


class ScenePredictor(ABC):
    """A model that predicts scenes, in whatever runtime: `SceneModel` or `OnnxSceneModel`."""

    info: ModelInfo
    """The description of the model."""
    tasks: list[Task]
    """The tasks that `info` names, in the same order."""
    batch: int | None = None
    """Images at a time that the network is fixed to; None if their number is free."""

    def predict(
        self,
        image: AnyImage,
        camera: Camera | None = None,
        height: int | None = None,
        *,
        inference: Inference | None = None,
        learned_noise: bool = False,
        calibration: DistanceCalibration | None = None,
    ) -> ScenePrediction:
        """Predict one image, in evaluation mode.

        The image is resized to the working height with its aspect ratio kept, or to the size that an exported model is
        fixed to. The results are resized to the image's own size. An enlarged image is at most four working heights
        wide.

        Args:
            image: A path, a Pillow image, an array or a tensor, of any size; see `read_photograph`.
            camera: The camera at the size of the image, for depth in metres.
            height: Working height in pixels; None for the model's own.
            inference: Averaging, tiles and precision; None for one look at the whole image. An exported model takes
                None alone.
            learned_noise: Whether results get the sigma that training has learned, for metrics of calibration.
            calibration: The scale of the distances of this camera, from `calibrate`.

        Raises:
            MultisigmaError: The image cannot be read, and the message names the file; `height` is not positive, or not
                the one that an exported model is fixed to; or `inference` is given to an exported model.
        """
        scenes = self.predict_all(
            [image], camera, height, inference=inference, learned_noise=learned_noise, calibration=calibration
        )
        return next(scenes)

    def predict_all(
        self,
        images: Iterable[AnyImage],
        camera: Camera | Callable[[tuple[int, int]], Camera | None] | None = None,
        height: int | None = None,
        *,
        batch: int = 1,
        inference: Inference | None = None,
        learned_noise: bool = False,
        calibration: DistanceCalibration | None = None,
    ) -> Iterator[ScenePrediction]:
        """Predict images one after the other, such as the frames of a video; see `predict`.

        Args:
            images: The images. They are read when their turn comes.
            camera: The camera of all of them; or a function from the height and width of an image to its camera.
            height: Working height in pixels; None for the model's own.
            batch: How many images the network sees at once. Images of different working sizes are seen apart. On a CPU,
                1 is fastest. An exported model of a fixed batch sees that many, the last image repeated if there are
                fewer.
            inference: Averaging, tiles and precision; None for one look at the whole image.
            learned_noise: Whether results get the sigma that training has learned.
            calibration: The scale of the distances of this camera, from `calibrate`.

        Yields:
            The prediction of each image, in their order.

        Raises:
            MultisigmaError: As `predict` does; or `batch` is not positive.
        """
        if batch < 1:
            raise MultisigmaError(f"Parameter `batch` must be positive. Found {batch}.")
        rest = iter(images)
        while group := [read_photograph(image) for image in islice(rest, self.batch or batch)]:
            outputs = self._outputs([self._working_image(pixels, height) for pixels in group], inference)
            for pixels, arrays in zip(group, outputs, strict=True):
                height_and_width = pixels.shape[0], pixels.shape[1]
                yield postprocess(
                    pixels,
                    arrays,
                    self.info,
                    self.tasks,
                    camera(height_and_width) if callable(camera) else camera,
                    learned_noise=learned_noise,
                    calibration=calibration,
                )

    def _working_image(self, pixels: NDArray[np.uint8], height: int | None) -> NDArray[np.uint8]:
        """Return an image of shape (H, W, 3) at the size at which the network sees it."""
        return to_height(pixels, self.info.working_height if height is None else height)

    @abstractmethod
    def _outputs(
        self, images: Sequence[NDArray[np.uint8]], inference: Inference | None
    ) -> list[dict[str, NDArray[np.float32]]]:
        """Return each image's outputs of shape (channels, H, W), by task name."""
