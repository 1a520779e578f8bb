"""An exported model: the same predictions as `SceneModel` gives, through onnxruntime and without torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from multisigma.datasets.frame import Camera
from multisigma.datasets.photographs import AnyImage, read_photograph
from multisigma.errors import MultisigmaError
from multisigma.models.model_info import ModelInfo
from multisigma.models.postprocess import postprocess, resize_image, to_height
from multisigma.models.scene_prediction import ScenePrediction
from multisigma.tasks import Task

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from multisigma.models.distances import DistanceCalibration

__all__ = ["METADATA_KEY", "OnnxSceneModel"]

METADATA_KEY = "multisigma"
"""Key of an ONNX file's metadata that has the content of `model.json`."""

_log = logging.getLogger(__name__)
# A fixed size whose aspect ratio differs more from the image's is worth a warning.
_STRETCH = 0.05


class OnnxSceneModel:
    """A model that `multisigma export` wrote: all that a prediction needs, in one file.

    Args:
        session: The session of onnxruntime.
        info: The description of the model.
        tasks: The tasks that `info` names, in the same order.

    Example:
        model = OnnxSceneModel.load("model.onnx")
        scene = model.predict("street.jpg")
        scene["semantic"].ids
    """

    def __init__(self, session: InferenceSession, info: ModelInfo, tasks: Sequence[Task]) -> None:
        self.session, self.info, self.tasks = session, info, list(tasks)
        rows, columns = session.get_inputs()[0].shape[2:]
        self.size: tuple[int, int] | None = (rows, columns) if isinstance(rows, int) else None
        """Height and width that the file is fixed to; None if they are free."""
        self._warned = False

    @classmethod
    def load(
        cls,
        path: str | Path,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        trust_code: bool = False,
    ) -> Self:
        """Load an exported model. The file alone is read, and without `trust_code` no code of its author runs.

        Args:
            path: The ONNX file.
            threads: Threads that compute the network; None for one per core.
            providers: What computes the network, as onnxruntime names it: "CUDAExecutionProvider" and others.
            trust_code: Import the classes of tasks that are not built in, which runs their author's code.

        Raises:
            MultisigmaError: onnxruntime is not installed; the file cannot be read, or multisigma did not export it; or
                a task is not built in and `trust_code` is false.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MultisigmaError(
                "An exported model needs onnxruntime. Found it not installed. Run pip install 'multisigma[export]'."
            ) from error
        path = Path(path)
        if not path.is_file():
            raise MultisigmaError(f"{path}: an exported model must be a file. Found none. Check the path.")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads or 0
        try:
            session = onnxruntime.InferenceSession(path, settings, providers=list(providers))
        except Exception as error:
            # onnxruntime has an exception of its own for each fault, without a common base.
            raise MultisigmaError(
                f"{path}: must be an ONNX file. Found a fault: {str(error).splitlines()[0]}. Export the model again."
            ) from error
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise MultisigmaError(
                f"{path}: must be a model that multisigma exported. Found no description of one in its metadata. "
                f"Write it: multisigma export RUN --out {path}"
            )
        info = ModelInfo.parse(text, path)
        return cls(session, info, info.load_tasks(path, trust_code))

    def predict(
        self,
        image: AnyImage,
        camera: Camera | None = None,
        height: int | None = None,
        *,
        learned_noise: bool = False,
        calibration: DistanceCalibration | None = None,
    ) -> ScenePrediction:
        """Predict one image as `SceneModel.predict` does.

        If the file has a fixed size, the image is resized to it.

        Args:
            image: A path, a Pillow image, an array or a tensor, of any size; see `read_photograph`.
            camera: The camera at the size of the image, for depth in metres.
            height: Working height in pixels; None for the model's own.
            learned_noise: Whether results get the sigma that training has learned, for metrics of calibration.
            calibration: The scale of the distances of this camera, from `calibrate`.

        Raises:
            MultisigmaError: The image cannot be read, `height` is not positive, or the file is fixed to another.
        """
        pixels = read_photograph(image)
        if self.size is None:
            working = to_height(pixels, self.info.working_height if height is None else height)
        elif height not in (None, self.size[0]):
            raise MultisigmaError(
                f"Parameter `height` must be {self.size[0]}, to which the exported model is fixed. Found {height}."
            )
        else:
            self._warn_of_stretch(pixels.shape[0], pixels.shape[1], *self.size)
            working = resize_image(pixels, *self.size)
        rgb = np.ascontiguousarray(working.transpose(2, 0, 1))[None]
        outputs = self.session.run(list(self.info.outputs), {"rgb": rgb})
        arrays = {name: output[0] for name, output in zip(self.info.outputs, outputs, strict=True)}
        return postprocess(
            pixels, arrays, self.info, self.tasks, camera, learned_noise=learned_noise, calibration=calibration
        )

    def _warn_of_stretch(self, rows: int, columns: int, height: int, width: int) -> None:
        """Warn once if an image is stretched."""
        if not self._warned and abs(columns * height / (rows * width) - 1) > _STRETCH:
            self._warned = True
            _log.warning(
                "An image of %dx%d is stretched to the %dx%d that the exported model is fixed to. "
                "Export with another --size, or without one.",
                *(rows, columns, height, width),
            )
