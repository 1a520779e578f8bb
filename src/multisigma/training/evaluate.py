"""A trained run held against a split: table 1's numbers, beside those of predictors that see no image."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from multisigma.data.cityscapes import list_frames
from multisigma.data.module import WholeFrames, readable_worker_errors, whole_frame_loader
from multisigma.data.picture import Picture, Sample
from multisigma.tasks import Task
from multisigma.training.train import evenly, load_module, make_targets


@dataclass(frozen=True)
class Evaluation:
    """The numbers of a run on a split, as they stand in `metrics.json`, and pictures of some of its frames."""

    metrics: dict[str, Any]
    samples: list[Sample]


@readable_worker_errors()
def evaluate(
    run: Path,
    data: Path,
    split: str = "val",
    checkpoint: str = "last",
    pictures: int = 6,
    progress: Any = iter,
) -> Evaluation:
    """Runs the network over whole frames of a split at their own size.

    Args:
        run: The run folder.
        data: Root of the data.
        split: The split's name.
        checkpoint: 'last' or 'best'.
        pictures: Frames to make pictures of, evenly over the split.
        progress: Wraps the loader, to show how far it is.

    Returns:
        The numbers; not-a-number where nothing was labelled.

    Raises:
        MultisigmaError: The run or the data is at fault.
    """
    module = load_module(run, checkpoint)
    config, tasks = module.config, module.tasks
    files = list_frames(data, split, config.missing_labels)
    shown = {f.name for f in evenly(files, pictures)} if pictures else set()
    device = torch.device("cuda" if torch.cuda.is_available() and config.accelerator != "cpu" else "cpu")
    module = module.to(device)
    metrics = {task.name: list(task.metrics()) for task in tasks}
    trivial_metrics = {task.name: list(task.metrics()) for task in tasks}
    with np.load(run / "trivial.npz") as stored:
        trivial = dict(stored)
    samples: list[Sample] = []
    begin = time.perf_counter()
    loader = whole_frame_loader(WholeFrames(files, partial(make_targets, tasks)), config.workers)
    for frame, batch in progress(loader):
        with torch.inference_mode():
            outputs = module(batch["image"].to(device))
            predictions = {task.name: task.predict(outputs[task.name]).cpu() for task in tasks}
        for task in tasks:
            target = batch["targets"][task.name]
            _update(metrics[task.name], predictions[task.name], target)
            if task.name in trivial:
                guess = task.trivial().resize(trivial[task.name], *frame.image.shape[:2])
                _update(trivial_metrics[task.name], torch.from_numpy(np.ascontiguousarray(guess))[None], target)
        if frame.name in shown:
            arrays = {name: prediction[0].numpy() for name, prediction in predictions.items()}
            made = [picture for task in tasks for picture in task.pictures(frame, arrays)]
            samples.append(Sample(frame.name, [Picture("Image", frame.image, None), *made]))
    numbers = _compute(tasks, metrics) | {
        "trivial": _compute(tasks, trivial_metrics),
        "data": str(data),
        "split": split,
        "frames": len(files),
        "checkpoint": checkpoint,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return Evaluation(numbers, samples)


def _update(metrics: Sequence[Metric], prediction: Tensor, target: Tensor) -> None:
    for metric in metrics:
        metric.update(prediction, target)


def _compute(tasks: Sequence[Task], metrics: Mapping[str, Sequence[Metric]]) -> dict[str, Any]:
    """All numbers of all tasks in one dictionary; None where nothing was labelled, as JSON wants it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        return None if math.isnan(value) else float(value)

    numbers: dict[str, Any] = {}
    with warnings.catch_warnings():
        # A task without labels has not been updated, and its numbers are not-a-number as they should be.
        warnings.filterwarnings("ignore", ".*compute.*was called before.*update.*")
        for task in tasks:
            for metric in metrics[task.name]:
                numbers |= plain(metric.compute())
    return numbers
