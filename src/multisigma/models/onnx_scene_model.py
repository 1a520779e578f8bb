"""An exported model: the same predictions as `SceneModel` gives, through onnxruntime and without torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.models.model_info import ModelInfo
from multisigma.models.postprocess import resize_image
from multisigma.models.scene_predictor import ScenePredictor
from multisigma.tasks import Task

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from multisigma.models.inference import Inference

__all__ = ["METADATA_KEY", "OnnxSceneModel"]

METADATA_KEY = "multisigma"
"""Key of an ONNX file's metadata that has the content of `model.json`."""

_log = logging.getLogger(__name__)
# A fixed size whose aspect ratio differs more from the image's is worth a warning.
_STRETCH = 0.05


class OnnxSceneModel(ScenePredictor):
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
        batch, _, rows, columns = session.get_inputs()[0].shape
        self.batch = batch if isinstance(batch, int) else None
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
        # Without this, its threads keep the cores busy while the outputs are post-processed.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
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

    def _working_image(self, pixels: NDArray[np.uint8], height: int | None) -> NDArray[np.uint8]:
        if self.size is None:
            return super()._working_image(pixels, height)
        if height not in (None, self.size[0]):
            raise MultisigmaError(
                f"Parameter `height` must be {self.size[0]}, to which the exported model is fixed. Found {height}."
            )
        self._warn_of_stretch(pixels.shape[0], pixels.shape[1], *self.size)
        return resize_image(pixels, *self.size)

    def _outputs(
        self, images: Sequence[NDArray[np.uint8]], inference: Inference | None
    ) -> list[dict[str, NDArray[np.float32]]]:
        if inference is not None:
            raise MultisigmaError(
                f"Parameter `inference` must be None with an exported model. Found {inference}. Take a `SceneModel`."
            )
        if len({image.shape for image in images}) > 1:
            return [outputs for image in images for outputs in self._outputs([image], None)]
        missing = (self.batch or len(images)) - len(images)
        rgb = np.stack([*images, *[images[-1]] * missing]).transpose(0, 3, 1, 2)
        found = self.session.run(list(self.info.outputs), {"rgb": np.ascontiguousarray(rgb)})
        arrays = dict(zip(self.info.outputs, found, strict=True))
        return [{name: array[i] for name, array in arrays.items()} for i in range(len(images))]

    def _warn_of_stretch(self, rows: int, columns: int, height: int, width: int) -> None:
        """Warn once if an image is stretched."""
        if not self._warned and abs(columns * height / (rows * width) - 1) > _STRETCH:
            self._warned = True
            _log.warning(
                "An image of %dx%d is stretched to the %dx%d that the exported model is fixed to. "
                "Export with another --size, or without one.",
                *(rows, columns, height, width),
            )
