"""The progress bar of a training run."""

import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class ProgressBar(TQDMProgressBar):
    """Losses and sigmas beside one bar for the whole run; few lines where the output is no terminal."""

    def __init__(self, iterations: int) -> None:
        super().__init__(refresh_rate=max(1, iterations // (200 if sys.stderr.isatty() else 20)))

    def on_train_epoch_start(self, trainer: lightning.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description("training")

    def init_validation_tqdm(self) -> Tqdm:
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

    def get_metrics(self, *args: Any) -> dict[str, int | str | float | dict[str, float]]:
        return {k: f"{v:.3g}" for k, v in super().get_metrics(*args).items() if isinstance(v, float)}
