"""Callbacks of the trainer."""

from typing import Any

import cv2
import lightning
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from multisigma.datasets.evenly import evenly
from multisigma.datasets.frame import Frame
from multisigma.models import SceneModel
from multisigma.progress import Progress
from multisigma.training.model_files import describe_model
from multisigma.training.scene_module import SceneModule
from multisigma.visualization.picture import Picture


class ProgressReport(lightning.Callback):
    """Report the iterations to a `Progress`, with losses and sigmas.

    Args:
        progress: Takes the reports.
        iterations: Iterations of the whole run.
    """

    def __init__(self, progress: Progress, iterations: int) -> None:
        self.progress, self.iterations = progress, iterations
        # Losses and sigmas are read from the device so many times a run.
        self.every = max(1, iterations // 200)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            self.progress.start("training", self.iterations, trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        done = trainer.global_step
        if trainer.is_global_zero and (done % self.every == 0 or done == self.iterations):
            self.progress.update(done, ", ".join(f"{k} {v:.3g}" for k, v in trainer.progress_bar_metrics.items()))

    def on_train_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.progress.stop()

    def on_exception(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.progress.stop()


class ValidationPictures(lightning.Callback):
    """Show the tasks' pictures of a few validation frames in TensorBoard, the same frames at each validation.

    Each picture has the image, the prediction, the truth and the error side by side, as far as there are these.

    Args:
        frames: The number of frames, evenly over the split.
        width: Largest width of each part, pixels.
    """

    def __init__(self, frames: int = 3, width: int = 512) -> None:
        self.frames, self.width = frames, width

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_: Any,
    ) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        shown = evenly(range(int(sum(trainer.num_val_batches))), self.frames)
        if not (trainer.is_global_zero and loggers and batch_idx in shown):
            return
        assert isinstance(module, SceneModule)
        frame: Frame = batch[0]
        model = SceneModel(describe_model(module, frame.size[0]), module.tasks, module.network)
        scene = model.predict(frame.image, frame.camera)
        for picture in (picture for task in module.tasks for picture in task.visualize(frame, scene)):
            for logger in loggers:
                pixels = self._side_by_side(frame.image, picture)
                logger.experiment.add_image(
                    f"{picture.title}/{frame.name}", pixels, trainer.global_step, dataformats="HWC"
                )

    def _side_by_side(self, image: NDArray[np.uint8], picture: Picture) -> NDArray[np.uint8]:
        parts = [part for part in (image, picture.prediction, picture.truth, picture.error) if part is not None]
        height, width = image.shape[:2]
        share = min(1.0, self.width / width)
        size = max(1, round(share * width)), max(1, round(share * height))
        return np.hstack([cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts])
