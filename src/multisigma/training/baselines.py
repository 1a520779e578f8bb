"""Each task's prediction that looks at no image, made from the labels of the training split."""

import io
import zipfile
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from multisigma.datasets.cityscapes import KINDS, FrameFiles, count_labels
from multisigma.datasets.module import WholeFrames, readable_worker_errors, whole_frame_loader
from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes
from multisigma.tasks import Task
from multisigma.training.config import TrainConfig
from multisigma.training.loaders import make_targets


def write_baselines(
    path: Path,
    tasks: Sequence[Task],
    train_files: Sequence[FrameFiles],
    val_files: Sequence[FrameFiles],
    workers: int,
) -> set[str]:
    """Make every task's baseline from the training labels; reads the frames of validation for faults alone.

    Returns:
        The names of the tasks that have a labelled pixel; the others have no predictor.
    """
    predictors = {task.name: task.baseline() for task in tasks}
    loader = whole_frame_loader(WholeFrames([*train_files, *val_files], partial(make_targets, tasks)), workers)
    with readable_worker_errors():
        for index, (_, batch) in enumerate(
            track(loader, "reading all frames once", len(loader), console=Console(stderr=True), transient=True)
        ):
            if index < len(train_files):
                for name, target in batch["targets"].items():
                    predictors[name].update(target[0].numpy())
    predictions = {name: predictor.predict() for name, predictor in predictors.items()}
    buffer = io.BytesIO()
    labelled: dict[str, Any] = {name: value for name, value in predictions.items() if value is not None}
    np.savez_compressed(buffer, **labelled)
    write_bytes(path, buffer.getvalue())
    return set(labelled)


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
    config: TrainConfig, tasks: Sequence[Task], labelled: Collection[str], files: Sequence[FrameFiles]
) -> None:
    """Warn of each task that has nothing to learn from; raises `MultisigmaError` if that is all of them.

    Args:
        config: The run's configuration.
        tasks: The tasks that it names.
        labelled: The names of those that have a labelled training pixel.
        files: The frames of the training split.
    """
    messages = []
    rest = ",".join(option for option, task in zip(config.tasks.values, tasks, strict=True) if task.name in labelled)
    for task in tasks:
        if task.name in labelled:
            continue
        message = f"Task '{task.name}': no pixel is labelled in the {len(files)} frames of the split 'train'"
        remedy = "Add its labels"
        if task.kind:
            kind = KINDS[task.kind]
            count = count_labels(files)[task.kind]
            message += f"; found {count} files {config.data}/{kind.folder}/train/CITY/*{kind.ending}"
            remedy = "All their pixels are void: restore them" if count else f"Unzip {kind.package} into {config.data}"
        messages.append(f"{message}. {remedy}" + (f", or leave the task out with --tasks {rest}." if rest else "."))
    if not labelled:
        raise MultisigmaError("\n".join(messages))
    for message in messages:
        warn(message)


def warn(message: str) -> None:
    """Print a warning on standard error."""
    Console(stderr=True).print(
        f"warning: {message}", style="bold yellow", markup=False, highlight=False, soft_wrap=True
    )
