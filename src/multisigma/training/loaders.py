"""Batches of a run: its share of the training samples, and its validation frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from multisigma.datasets.augment import AugmentSettings
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.frame import Frame
from multisigma.datasets.module import (
    Batch,
    TrainingBatches,
    TrainingFrames,
    WholeFrames,
    training_loader,
    whole_frame_loader,
)
from multisigma.datasets.photometric import PhotometricSettings
from multisigma.tasks import Task
from multisigma.training.config import TrainConfig

if TYPE_CHECKING:
    # Evaluation makes targets without it, and its import takes seconds.
    import lightning


def make_targets(tasks: Sequence[Task], frame: Frame) -> dict[str, Tensor]:
    """Return each task's target for the frame, by task name."""
    return {task.name: task.target(frame) for task in tasks}


def make_loaders(
    config: TrainConfig,
    tasks: Sequence[Task],
    train_data: SceneDataset,
    val_data: SceneDataset | None,
    trainer: lightning.Trainer,
) -> tuple[DataLoader[Batch], DataLoader[tuple[Frame, Batch]] | None]:
    """Make the loaders of this process.

    Returns:
        Its share of the training batches, from the trainer's iteration on, and its share of the validation frames.
    """
    rank, world_size = trainer.global_rank, trainer.world_size
    targets = partial(make_targets, tasks)
    augment = AugmentSettings(
        flip=config.flip,
        scale=(config.scale_min, config.scale_max),
        crop=(config.crop.height, config.crop.width) if config.crop else None,
    )
    batches = TrainingBatches(
        len(train_data),
        config.batch_size,
        config.iterations,
        config.seed,
        start=lambda: trainer.global_step,
        rank=rank,
        world_size=world_size,
    )
    training = training_loader(
        TrainingFrames(
            train_data,
            augment,
            targets,
            config.seed,
            PhotometricSettings.parse(config.photometric) if config.photometric else None,
        ),
        batches,
        config.workers,
        pin_memory=torch.cuda.is_available(),
    )
    if val_data is None:
        return training, None
    share = WholeFrames(val_data.subset(range(rank, len(val_data), world_size)), targets)
    return training, whole_frame_loader(share, min(config.workers, 1))
