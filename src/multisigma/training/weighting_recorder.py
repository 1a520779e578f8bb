"""A Lightning callback that records noise and effective weights over training, as a table and a picture."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import LightningModule, Trainer

from multisigma.errors import MultisigmaError
from multisigma.visualization.weighting_curves import write_weighting
from multisigma.weighting import Weighting


class WeightingRecorder(lightning.Callback):
    """Records the noise and the weights of a Lightning module's weighting every so many optimiser steps.

    At the end of the training, also when an exception ends it, it writes FOLDER/weighting.csv and
    FOLDER/weighting.png. What it has recorded is part of the checkpoint, so that a resumed run's curves are whole.

    Args:
        folder: Where the files go.
        every: Optimiser steps from one record to the next; each waits for the device.

    Raises:
        MultisigmaError: `every` is not positive. On the training's start: the module holds no weighting, or several.
    """

    def __init__(self, folder: Path | str, every: int = 50) -> None:
        super().__init__()
        if every < 1:
            raise MultisigmaError(f"Parameter `every` must be at least 1; found {every}.")
        self.folder, self.every = Path(folder), every
        self.history: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = {name: module for name, module in pl_module.named_modules() if isinstance(module, Weighting)}
        if len(found) != 1:
            raise MultisigmaError(
                f"{type(pl_module).__name__} must hold one weighting, as in `self.weighting = "
                f"UncertaintyWeighting(...)`; found {', '.join(found) or 'none'}."
            )
        (self._weighting,) = found.values()
        # The training goes on from here; a callback may have seen another.
        self.history = [row for row in self.history if row["step"] < trainer.global_step]
        self._record(trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step % self.every == 0:
            self._record(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._record(trainer.global_step)
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])

    def _record(self, step: int) -> None:
        # Accumulated batches share a step.
        if not self.history or self.history[-1]["step"] < step:
            self.history.append({"step": step} | self._weighting.log())

    def _write(self, trainer: Trainer) -> None:
        if self.history and trainer.is_global_zero:
            write_weighting(self.history, self.folder)
