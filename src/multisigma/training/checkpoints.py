"""Checkpoints: written whole or not at all, verified when they are read, and written when a signal stops the run."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from multisigma.errors import Interrupted, MultisigmaError
from multisigma.files import new_file
from multisigma.signals import exit_status, handled_signals

_log = logging.getLogger(__name__)
_AGREE_EVERY = 10
# Weights that are tied, and buffers that are expanded, stand for more bytes than they store.
_MOST_REPEATED, _ALWAYS_READ = 4, 2**26
_PARTS: dict[str, type | tuple[type, ...]] = {
    "pytorch-lightning_version": str,
    "global_step": int,
    "epoch": int,
    "state_dict": Mapping,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
}


def checkpoint_path(run: Path, name: str = "last") -> Path:
    """Return the path of a checkpoint: 'last', the run's newest state; 'previous', that before; or 'best'."""
    return run / "checkpoints" / f"{name}.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing what it holds, and verify it.

    Raises:
        MultisigmaError: The file cannot be read, is damaged, or is no checkpoint of a training.
    """
    try:
        # `torch.save` stores a checksum of each part, and `torch.load` does not look at them.
        with zipfile.ZipFile(path) as parts:
            if damaged := parts.testzip():
                raise ValueError(f"its part {damaged} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # zipfile and torch raise whatever a damaged file makes them stumble over.
        raise MultisigmaError(f"{path}: cannot be read as a checkpoint of this run: {_reason(path, error)}.") from error
    for name, type_ in _PARTS.items():
        found = content.get(name) if isinstance(content, Mapping) else None
        if not isinstance(found, type_) or (isinstance(found, int) and (isinstance(found, bool) or found < 0)):
            raise MultisigmaError(
                f"{path}: cannot be read as a checkpoint of this run: its `{name}` is {_short(found)}, which no "
                "training writes."
            )
    # Views of few numbers may stand for gigabytes, which the first conversion would write out.
    stored, stands_for = path.stat().st_size, sum(t.nbytes for t in _tensors(content) if t.layout == torch.strided)
    if stands_for > _MOST_REPEATED * stored + _ALWAYS_READ:
        raise MultisigmaError(
            f"{path}: cannot be read as a checkpoint of this run: its tensors stand for {stands_for:,} bytes, and the "
            f"file has {stored:,}."
        )
    return dict(content)


def newest_checkpoint(run: Path) -> tuple[Path, int] | None:
    """Return the newest checkpoint that can be read, and its iteration; None if the run has none yet.

    That is 'last', or else the newer of 'previous' and 'best', with a warning.

    Raises:
        MultisigmaError: There are checkpoints, and none can be read.
    """
    faults, found = [], []
    for names in (["last"], ["previous", "best"]):
        for name in names:
            path = checkpoint_path(run, name)
            if path.is_file():
                try:
                    found.append((path, int(read_checkpoint(path)["global_step"])))
                except MultisigmaError as error:
                    faults.append(str(error))
        if found:
            newest = max(found, key=lambda item: item[1])
            for fault in faults if newest[0] != checkpoint_path(run) else ():
                _log.warning("%s The run goes on from %s instead, iteration %d.", fault, *newest)
            return newest
    if faults:
        folder = checkpoint_path(run).parent
        raise MultisigmaError(
            "\n".join(faults) + f"\nRestore one of them, or remove {folder} to train from the start with --resume."
        )
    return None


def set_damaged_aside(run: Path, good: Path) -> None:
    """Rename 'last' to 'damaged' if another checkpoint is the newest good one, so that 'last' is not kept as it."""
    path = checkpoint_path(run)
    if good != path and path.is_file():
        os.replace(path, checkpoint_path(run, "damaged"))


class CheckpointFiles(CheckpointIO):
    """Write and read the files for Lightning. A new 'last' leaves the one before as 'previous'."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, flush_folder=True) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch's own writer hides the error of the file.
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            if path.name == checkpoint_path(path).name and path.is_file():
                os.replace(path, path.with_name(checkpoint_path(path, "previous").name))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class BestCheckpoint(ModelCheckpoint):
    """Write the checkpoint 'best' after each validation that is the best so far.

    Args:
        run: The run folder.
        monitor: The logged number; the least is the best.
    """

    def __init__(self, run: Path, monitor: str) -> None:
        folder = checkpoint_path(run).parent
        super().__init__(folder, "best", monitor, save_on_train_epoch_end=False, enable_version_counter=False)

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint, which earlier releases wrote as Lightning's own callback."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state, also if the run folder has moved: Lightning would forget the best score."""

        def moved(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        paths = {name: moved(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": best, "dirpath": self.dirpath})


class LastCheckpoint(Checkpoint):
    """Write the checkpoint 'last' every so many iterations, at the end, and when a signal asks the run to stop.

    Where a validation follows on the iteration, it is written after that: a resumed run does not validate again. A
    signal stops a validation too, and the resumed run begins with the whole of it; the last one, and that of several
    processes, comes to its end.

    Args:
        run: The run folder.
        every: Iterations between checkpoints.
        validate_every: Iterations between validations; None without validation.
        start: Iteration of the checkpoint that the training goes on from.
    """

    def __init__(self, run: Path, every: int, validate_every: int | None, start: int = 0) -> None:
        self.run, self.every, self.validate_every, self.start = run, every, validate_every, start
        self.begun, self.written = False, -1
        self.signal: signal.Signals | None = None
        self._handlers = ExitStack()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.global_step != self.start:
            raise ValueError(f"its parts are of the iterations {self.start} and {trainer.global_step}")
        # After Lightning has set its own handlers.
        self._handlers.enter_context(handled_signals(self._receive))

    def _receive(self, number: signal.Signals) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        _log.warning(
            "%s: the training stops after this iteration, with a checkpoint. Another signal stops it at once.",
            number.name,
        )

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        # Some parts of a damaged checkpoint show only in the first iteration, up to its very end.
        self.begun = trainer.global_step > self.start

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self.validate_every and trainer.global_step % self.validate_every == 0:
            return
        self._save_or_stop(trainer, trainer.global_step % self.every == 0)

    def on_validation_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        # Else a run that went on within a validation would look as if it still were in one.
        trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset()

    def on_validation_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        # After the last iteration Lightning would not go on with it.
        last = trainer.global_step >= trainer.max_steps
        if self.signal is None or last or trainer.world_size > 1:
            return
        # One batch is started and none is done: Lightning goes on with the validation, from its first batch.
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.reset()
        progress.increment_ready()
        progress.increment_started()
        self._save_or_stop(trainer, due=True)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save_or_stop(trainer, due=True)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save(trainer)
        self._handlers.close()

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._handlers.close()

    def _save_or_stop(self, trainer: lightning.Trainer, due: bool) -> None:
        stops = self.signal is not None
        if trainer.world_size > 1:
            # Processes agree every few iterations, because they wait for each other.
            stops = (due or trainer.global_step % _AGREE_EVERY == 0) and trainer.strategy.reduce_boolean_decision(
                stops, all=False
            )
        if due or stops:
            self._save(trainer)
        if stops:
            found = self.signal or signal.SIGTERM
            raise Interrupted(
                f"Stopped by {found.name} after iteration {trainer.global_step}, with a checkpoint; "
                f"`multisigma train --resume --out {self.run}` goes on from there.",
                exit_status(found),
            )

    def _save(self, trainer: lightning.Trainer) -> None:
        if self.written != trainer.global_step:
            trainer.save_checkpoint(checkpoint_path(self.run), weights_only=False)
            self.written = trainer.global_step


def _tensors(content: object) -> Iterator[torch.Tensor]:
    # Not by recursion: a damaged file may nest without end, or hold itself.
    parts, seen = [content], set[int]()
    while parts:
        part = parts.pop()
        if isinstance(part, torch.Tensor):
            yield part
        elif isinstance(part, Mapping | list | tuple) and id(part) not in seen:
            seen.add(id(part))
            parts += part.values() if isinstance(part, Mapping) else part


def _reason(path: Path, error: Exception) -> object:
    if path.is_file() and not path.stat().st_size:
        return "the file is empty"
    if isinstance(error, zipfile.BadZipFile | EOFError | zipfile.LargeZipFile):
        return "the file ends too early, or is damaged"
    if isinstance(error, pickle.UnpicklingError):
        # Its message explains how to load unsafe files.
        return "it is damaged, or holds objects that could run code, and these are not loaded"
    return str(error) or type(error).__name__


def _short(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) < 50 else f"{text[:50]}..."
