"""Evaluate a trained run, or any system's files, on a split: the numbers of tables 1 and 2 of the paper."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from multisigma.datasets.dataset import SceneDataset, unlabelled
from multisigma.datasets.evenly import evenly
from multisigma.datasets.module import WholeFrames, readable_worker_errors, whole_frame_loader
from multisigma.datasets.open import open_dataset
from multisigma.datasets.predictions import inspect_prediction, list_predictions
from multisigma.datasets.problems import DataError
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics import AveragePrecision, PanopticQuality, scene_metrics
from multisigma.progress import SILENT, Progress
from multisigma.tasks import VOTES, Instance, PostprocessContext, Votes, choose_votes, postprocess, scene_of
from multisigma.training.baselines import read_baselines
from multisigma.training.loaders import make_targets
from multisigma.training.run_folder import load_module
from multisigma.training.weightings import has_tasks_likelihoods
from multisigma.visualization.picture import Picture, Sample

# In `metrics.json`, beside the numbers that they explain.
NOTES = {
    "ap100m, ap50m": "Our reading of a rule that the public scripts leave open: true instances of at least 1000 px "
    "whose median distance, over the pixels with a valid disparity, is at most 100 or 50 m, and at least half of whose "
    "pixels have one; predictions of other instances are ignored.",
    "by_votes": "Instances measured by each way from votes to instances: 'default' clusters each class by itself; "
    "'paper' clusters all classes together with a plain cut, each pixel to the nearest centre. The key `votes` names "
    "the way behind all other numbers.",
}

KeepScene = Callable[[str, Scene, tuple[int, int]], None]
"""Takes a frame's name, what the network says about it, and its height and width."""


@dataclass(frozen=True)
class Evaluation:
    """The numbers of a run on a split, as they stand in `metrics.json`, and pictures of some of its frames."""

    metrics: dict[str, Any]
    samples: list[Sample]


@readable_worker_errors()
def evaluate(
    run: Path,
    data: str | Path,
    split: str = "val",
    checkpoint: str = "last",
    pictures: int = 6,
    progress: Progress = SILENT,
    keep: KeepScene | None = None,
    votes: Votes = "default",
) -> Evaluation:
    """Run the network over whole frames of a split at their own size, once.

    Args:
        run: The run folder.
        data: Root of the data.
        split: The split's name.
        checkpoint: 'last' or 'best'.
        pictures: Frames to make pictures of, evenly over the split.
        progress: Takes how many frames are done.
        keep: Called with each frame's scene, to write it.
        votes: How votes become the instances of scenes and pictures. AP and PQ are measured by every way.

    Returns:
        The numbers; not-a-number where nothing was labelled.

    Raises:
        MultisigmaError: The run or the data is at fault, or no frame has a label and `keep` is None.
    """
    module = load_module(run, checkpoint)
    config, tasks = module.config, module.tasks
    dataset = open_dataset(data, split, config.missing_labels)
    if keep is None:
        _require_labels(data, split, dataset)
    shown = {dataset.name(i) for i in evenly(range(len(dataset)), pictures)} if pictures else set()
    device = torch.device("cuda" if torch.cuda.is_available() and config.accelerator != "cpu" else "cpu")
    module = module.to(device)
    metrics = {task.name: list(task.metrics(module.labels)) for task in tasks}
    baseline_metrics = {task.name: list(task.metrics(module.labels)) for task in tasks}
    # Only with the tasks' own likelihoods is sigma the scale or the root of the temperature that calibration measures.
    sigma = module.weighting.sigma if has_tasks_likelihoods(module.weighting) else {}
    calibration = {task.name: list(task.calibration(sigma.get(task.name))) for task in tasks}
    joint = scene_metrics()
    instance_task = next((task for task in tasks if isinstance(task, Instance)), None)
    choose_votes(tasks, votes)
    context = PostprocessContext(dataset.labels)
    other_votes = {way: [AveragePrecision(), PanopticQuality()] for way in VOTES if way != votes}
    baseline = read_baselines(run)
    samples: list[Sample] = []
    begin = time.perf_counter()
    loader = whole_frame_loader(WholeFrames(dataset, partial(make_targets, tasks)), config.workers)
    for frame, batch in progress.track(loader, "evaluating", len(loader)):
        with torch.inference_mode():
            outputs = {name: output.float().cpu() for name, output in module(batch["image"].to(device)).items()}
            predictions = {task.name: task.predict(outputs[task.name]) for task in tasks}
            arrays = {name: output[0].numpy() for name, output in outputs.items()}
            results = postprocess(tasks, arrays, context)
        scene = scene_of(results)
        _update(joint, scene, frame)
        if instance_task and scene.instances is not None:
            for way, measured in other_votes.items():
                found = instance_task.cluster(arrays[instance_task.name], results, context, way)
                _update(measured, scene_of(results | {instance_task.name: found}), frame)
        if keep:
            keep(frame.name, scene, frame.size)
        for task in tasks:
            target = batch["targets"][task.name]
            _update(metrics[task.name], predictions[task.name], target)
            _update(calibration[task.name], outputs[task.name], target)
            if task.name in baseline and (predictor := task.baseline()):
                guess = predictor.resize(baseline[task.name], *frame.size)
                _update(baseline_metrics[task.name], torch.from_numpy(np.ascontiguousarray(guess))[None], target)
        if frame.name in shown:
            made = [picture for task in tasks for picture in task.visualize(frame, results)]
            samples.append(Sample(frame.name, [Picture("Image", frame.image, None), *made]))
    scene_numbers = _measured(joint)
    by_votes = {way: numbers for way, measured in other_votes.items() if (numbers := _measured(measured))}
    by_votes |= {votes: {key: scene_numbers[key] for numbers in by_votes.values() for key in numbers}}
    # Where a task and the scene both measure something, such as the IoU, it is the same number.
    numbers = (
        _compute([metric for task in tasks for metric in metrics[task.name]])
        | scene_numbers
        | ({"votes": votes, "by_votes": {way: by_votes[way] for way in VOTES}} if len(by_votes) > 1 else {})
        | _compute([metric for task in tasks for metric in calibration[task.name]])
        | {"baseline": _compute([metric for task in tasks for metric in baseline_metrics[task.name]])}
        | _described(data, split, dataset, begin)
        | {"checkpoint": checkpoint}
    )
    return Evaluation(numbers, samples)


def evaluate_predictions(
    predictions: Path, data: str | Path, split: str = "val", progress: Progress = SILENT
) -> dict[str, Any]:
    """Evaluate any system's files on a split, by the same rules; images are not read.

    Args:
        predictions: Folder of the files; see `multisigma.datasets.predictions`.
        data: Root of the data.
        split: The split's name.
        progress: Takes how many frames are done.

    Returns:
        The numbers of the scene, as they stand in `metrics.json`.

    Raises:
        MultisigmaError: Files are missing, too many or malformed, and the message lists all faults; or no frame has a
            label.
    """
    begin = time.perf_counter()
    dataset = open_dataset(data, split)
    _require_labels(data, split, dataset)
    labels = dataset.label_counts().keys()
    found, problems = list_predictions(predictions, [dataset.name(i) for i in range(len(dataset))])
    joint = scene_metrics()
    for i, files in enumerate(progress.track(found, "evaluating")):
        try:
            frame = dataset.read(i, labels)
        except DataError as error:
            problems += error.problems
            continue
        scene, faults = inspect_prediction(files, predictions, frame.size if frame.fields else None)
        problems += faults
        if not problems:
            _update(joint, scene, frame)
    if problems:
        raise MultisigmaError("\n".join([f"{len(problems)} faults", *map(str, problems)]))
    return _measured(joint) | _described(data, split, dataset, begin) | {"predictions": str(predictions)}


def _require_labels(data: str | Path, split: str, dataset: SceneDataset) -> None:
    """Raise `DataError` if no frame of the split has a label."""
    if problem := unlabelled(dataset, data, split):
        raise DataError(problem)


def _update(metrics: Sequence[Metric], prediction: Any, target: Any) -> None:
    for metric in metrics:
        metric.update(prediction, target)


def _compute(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return all numbers in one dictionary; None where nothing was labelled, because JSON has no NaN."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return None if math.isnan(value) else float(value)

    numbers: dict[str, Any] = {}
    with warnings.catch_warnings():
        # A task without labels was never updated; its numbers are NaN, as they should be.
        warnings.filterwarnings("ignore", ".*compute.*was called before.*update.*")
        for metric in metrics:
            numbers |= plain(metric.compute())
    return numbers


def _measured(joint: Sequence[Metric]) -> dict[str, Any]:
    """Return the numbers of the metrics that measured anything."""
    numbers = [_compute([metric]) for metric in joint]
    return {k: v for part in numbers if any(isinstance(n, float) for n in part.values()) for k, v in part.items()}


def _described(data: str | Path, split: str, dataset: SceneDataset, begin: float) -> dict[str, Any]:
    return {
        "notes": NOTES,
        "data": str(data),
        "split": split,
        "frames": len(dataset),
        "labelled_frames": dataset.label_counts(),
        "seconds": round(time.perf_counter() - begin, 1),
    }
