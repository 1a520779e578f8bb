"""Each task's prediction that looks at no image, made from the labels of the training split."""

import io
import logging
import zipfile
from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.module import WholeFrames, readable_worker_errors, whole_frame_loader
from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes
from multisigma.progress import Progress
from multisigma.tasks import Task
from multisigma.training.config import TrainConfig
from multisigma.training.loaders import make_targets

_log = logging.getLogger(__name__)


def write_baselines(
    path: Path,
    tasks: Sequence[Task],
    train_data: SceneDataset,
    val_data: SceneDataset | None,
    workers: int,
    progress: Progress,
) -> set[str]:
    """Make the tasks' baselines from the training labels; read the frames of validation for faults alone.

    Returns:
        The names of the tasks that have a labelled pixel; of these, the tasks with a baseline have a prediction.

    Raises:
        MultisigmaError: A frame is at fault, or a task's baseline does not go with its targets.
    """
    predictors = {task.name: predictor for task in tasks if (predictor := task.baseline()) is not None}
    labelled: set[str] = set()
    targets = partial(make_targets, tasks)
    loaders = [whole_frame_loader(WholeFrames(data, targets), workers) for data in (train_data, val_data) if data]
    total = sum(map(len, loaders))
    with readable_worker_errors():
        for index, (_, batch) in enumerate(progress.track(chain(*loaders), "reading all frames once", total)):
            if index < len(train_data):
                for task in tasks:
                    target = batch["targets"][task.name]
                    if task.name not in labelled and _has_labels(task, target, task.channels(train_data.labels)):
                        labelled.add(task.name)
                    if task.name in predictors:
                        predictors[task.name].update(target[0].numpy())
    predictions: dict[str, Any] = {name: predictor.predict() for name, predictor in predictors.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: value for name, value in predictions.items() if value is not None})
    write_bytes(path, buffer.getvalue())
    return labelled


def _has_labels(task: Task, target: Tensor, channels: int) -> bool:
    """Return whether a loss of a task against a batch of targets counts anything."""
    return bool(task.loss(torch.zeros(len(target), channels, *target.shape[-2:]), target)[1])


def read_baselines(run: Path) -> dict[str, NDArray[Any]]:
    """Read the baselines' predictions by task name, as `write_baselines` wrote them. Raises `MultisigmaError`."""
    path = run / "baselines.npz"
    try:
        with np.load(path) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MultisigmaError(
            f"{path}: cannot be read as baselines: {error}. Restore it, or train the run again."
        ) from error


def report_unlabelled(
    config: TrainConfig, tasks: Sequence[Task], labelled: Collection[str], dataset: SceneDataset
) -> None:
    """Warn of each task that has nothing to learn from; raises `MultisigmaError` if that is all of them.

    Args:
        config: The run's configuration.
        tasks: The tasks that it names.
        labelled: The names of those that have a labelled training pixel.
        dataset: The training split.
    """
    messages = []
    counts = dataset.label_counts() if len(labelled) < len(tasks) else {}
    rest = ",".join(option for option, task in zip(config.tasks.values, tasks, strict=True) if task.name in labelled)
    for task in tasks:
        if task.name in labelled:
            continue
        message = f"Task '{task.name}': no pixel is labelled in the {len(dataset)} frames of the split 'train'"
        remedies = []
        for field in task.fields:
            count = counts.get(field, 0)
            message += f"; found {count} frames with the field '{field}'"
            remedies.append("All their pixels are void: restore them." if count else dataset.remedy(field))
        remedy = " Or: ".join(remedies) or "Add its labels."
        messages.append(f"{message}. {remedy}" + (f" Or leave the task out with --tasks {rest}." if rest else ""))
    if not labelled:
        raise MultisigmaError("\n".join(messages))
    for message in messages:
        _log.warning(message)
