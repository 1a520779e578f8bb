"""Callbacks of the trainer."""

from typing import Any

import lightning

from multisigma.progress import Progress


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
