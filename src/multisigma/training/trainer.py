"""The Lightning trainer of a run."""

import ctypes
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from multisigma.errors import MultisigmaError
from multisigma.progress import Progress
from multisigma.training.callbacks import ProgressReport, ValidationPictures
from multisigma.training.checkpoints import BestCheckpoint, CheckpointFiles, LastCheckpoint
from multisigma.training.config import TrainConfig


def make_trainer(
    config: TrainConfig,
    run: Path,
    validate: bool,
    start: int,
    progress: Progress,
    callbacks: Sequence[lightning.Callback] = (),
) -> lightning.Trainer:
    """Make the Lightning trainer of a run that starts at an iteration; each start has a CSV log of its own.

    Raises:
        MultisigmaError: The machine has no such accelerator, devices or precision, or no compiler.
    """
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    checkpoints: list[lightning.Callback] = []
    if validate:
        checkpoints += [BestCheckpoint(run, "val/sum_of_log_losses"), ValidationPictures()]
    validate_every = min(config.validate_every, config.iterations) if validate else None
    # After the best checkpoint, because it holds the best score.
    checkpoints.append(LastCheckpoint(run, config.checkpoint_every, validate_every, start))
    try:
        watching = [ProgressReport(progress, config.iterations), *callbacks]
        trainer = _trainer(config, run, validate_every, start, [*checkpoints, *watching])
    except (ValueError, MisconfigurationException) as error:
        raise MultisigmaError(
            "Options --accelerator, --devices and --precision must suit this machine. Found "
            f"{config.accelerator}, {config.devices} and {config.precision}. Lightning says: {error}"
        ) from error
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
        if config.compile:
            _require_compiler()
    return trainer


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next iteration.

    By default it gives large blocks back to the system and gets them anew, page by page, in each iteration.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, AttributeError):  # another system, or another C library
        return
    trim_threshold, most_mappings = -1, -4  # their numbers in malloc.h
    mallopt(trim_threshold, -1)  # never
    mallopt(most_mappings, 0)


def _require_compiler() -> None:
    """Raise `MultisigmaError` without the C++ compiler that torch takes on a CPU."""
    compiler = os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))
    if shutil.which(compiler) is None:
        raise MultisigmaError(
            f"Option --compile needs a C++ compiler on the CPU. Found no {compiler}. Install it, name another in the "
            "environment variable CXX, or train without --compile."
        )


def _trainer(
    config: TrainConfig, run: Path, validate_every: int | None, start: int, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    workers = config.devices * config.nodes
    # With deterministic algorithms, torch fills new memory to expose reads of what was never written. It takes
    # 6 to 9 % of the step of an EfficientNet-Lite0 on a CPU, and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # The run handles the signals itself, and Lightning would ask SLURM to requeue it on SIGUSR1.
    environment = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        precision=config.precision,
        # Statistics over all devices; torch has it for GPUs alone.
        sync_batchnorm=workers > 1 and torch.cuda.is_available() and config.accelerator != "cpu",
        max_steps=config.iterations,
        max_epochs=-1,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validate_every else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=[
            CSVLogger(run, "logs", f"csv/{start}", flush_logs_every_n_steps=1),
            TensorBoardLogger(run, "logs", "tensorboard"),
        ],
        log_every_n_steps=1,
        callbacks=callbacks,
        plugins=[CheckpointFiles(), *environment],
        enable_model_summary=False,
        enable_progress_bar=False,
        deterministic="warn" if config.accelerator != "cpu" else True,
        benchmark=False,
    )
