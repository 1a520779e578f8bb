"""Each task's prediction that looks at no image, made from the labels of the training split."""

import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
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
from multisigma.files import MOST_BYTES, read_bytes, write_bytes
from multisigma.progress import Progress
from multisigma.tasks import Task, load_tasks
from multisigma.training.config import Names, TrainConfig
from multisigma.training.loaders import make_targets


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
        content = io.BytesIO(read_bytes(path))
        with zipfile.ZipFile(content) as parts:
            if sum(part.file_size for part in parts.infolist()) > MOST_BYTES:
                raise ValueError("it unpacks to more than a gigabyte")
        content.seek(0)
        with np.load(content, allow_pickle=False) as stored:
            return dict(stored)
    except Exception as error:
        # zipfile and NumPy raise whatever a damaged file makes them stumble over.
        raise MultisigmaError(
            f"{path}: cannot be read as baselines: {error}. Restore it, or train the run again."
        ) from error


def labelled_tasks(dataset: SceneDataset) -> tuple[Names, list[str]]:
    """Return those of the tasks semantic, instance and depth that a split has labels for, and a warning of each other.

    Raises:
        MultisigmaError: There is none.
    """
    counts = dataset.label_counts()
    tasks = load_tasks(("semantic", "instance", "depth"))
    found = [task for task in tasks if any(counts.get(field) for field in task.fields)]
    unlabelled = {task.name: _unlabelled(task, dataset, counts) for task in tasks if task not in found}
    if not found:
        raise MultisigmaError("\n".join(unlabelled.values()))
    warnings = [f"{message} The run goes on without this task." for message in unlabelled.values()]
    return Names(*(task.name for task in found)), warnings


def require_labels(
    config: TrainConfig, tasks: Sequence[Task], labelled: Collection[str], dataset: SceneDataset
) -> None:
    """Raise `MultisigmaError` if a task has nothing to learn from, with a message for each.

    Args:
        config: The run's configuration.
        tasks: The tasks that it names.
        labelled: The names of those that have a labelled training pixel.
        dataset: The training split.
    """
    if len(labelled) == len(tasks):
        return
    counts = dataset.label_counts()
    rest = ",".join(option for option, task in zip(config.tasks.values, tasks, strict=True) if task.name in labelled)
    hint = f" Or leave the task out with --tasks {rest}." if rest else ""
    messages = [_unlabelled(task, dataset, counts) + hint for task in tasks if task.name not in labelled]
    raise MultisigmaError("\n".join(messages))


def _unlabelled(task: Task, dataset: SceneDataset, counts: Mapping[str, int]) -> str:
    """Return what to say of a task without labels in the training split."""
    message = f"Task '{task.name}': no pixel is labelled in the {len(dataset)} frames of the split 'train'"
    remedies = []
    for field in task.fields:
        count = counts.get(field, 0)
        message += f"; found {count} frames with the field '{field}'"
        remedies.append("All their pixels are void: restore them." if count else dataset.remedy(field))
    return f"{message}. {' Or: '.join(remedies) or 'Add its labels.'}"
