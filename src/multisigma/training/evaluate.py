"""Evaluate a trained run on a split: the numbers of tables 1 and 2 of the paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch.utils.data import DataLoader, Dataset

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.evenly import evenly
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.module import readable_worker_errors
from multisigma.datasets.open import open_dataset
from multisigma.metrics import (
    AveragePrecision,
    Evaluation,
    Measurement,
    PanopticQuality,
    part,
)
from multisigma.models import SceneModel, ScenePrediction
from multisigma.models.scene_model import INFO_FILE, WEIGHTS_FILE
from multisigma.progress import SILENT, Progress
from multisigma.tasks import VOTES, Instance, PostprocessContext, Semantic, Task, Votes, choose_votes
from multisigma.training.baselines import read_baselines
from multisigma.training.config import TrainConfig
from multisigma.training.evaluate_predictions import (
    MetricCounts,
    all_counts,
    describe_evaluation,
    require_common_task,
    require_labels,
)
from multisigma.training.model_files import describe_model, model_folder
from multisigma.training.run_folder import load_module, read_run_config
from multisigma.visualization.picture import Picture, Sample

KeepScene = Callable[[str, Mapping[str, Any], tuple[int, int], LabelSpace], None]
"""Takes a frame's name, each task's result by task name, the frame's height and width, and the classes of the data."""


@dataclass(frozen=True)
class EvaluatedRun:
    """The result of evaluating a run.

    Args:
        evaluation: The numbers.
        samples: Pictures of some of the frames.
        labels: The classes of the data.
    """

    evaluation: Evaluation
    samples: list[Sample]
    labels: LabelSpace


class _Frames(Dataset[Frame]):
    """The frames of a data set, for reading by other processes."""

    def __init__(self, dataset: SceneDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Frame:
        return self.dataset.read(index)


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
) -> EvaluatedRun:
    """Run the network over whole frames of a split at their own size, once.

    Args:
        run: The run folder.
        data: The data, as `open_dataset` takes it.
        split: The split's name.
        checkpoint: 'last' or 'best'.
        pictures: Frames to make pictures of, evenly over the split.
        progress: Takes how many frames are done.
        keep: Called with each frame's results, to write them.
        votes: How votes are clustered for metrics and pictures. AP and PQ are measured with the other method too.

    Raises:
        MultisigmaError: The run or the data is at fault, or no frame has a label of a task and `keep` is None.
    """
    begin = time.perf_counter()
    config = read_run_config(run)
    dataset = open_dataset(data, split, config.missing_labels)
    model = _load_model(run, checkpoint, config, dataset)
    tasks, labels = model.tasks, dataset.labels
    if keep is None:
        require_labels(data, split, dataset)
        require_common_task(data, split, dataset, {task.name: task.fields for task in tasks}, run)
    choose_votes(tasks, votes)
    shown = {dataset.name(i) for i in evenly(range(len(dataset)), pictures)}

    own = {task.name: [MetricCounts(metric) for metric in task.metrics(labels)] for task in tasks}
    baselines = _Baselines(run, tasks, labels, model.info.labels)
    others = {
        way: [MetricCounts(metric) for metric in (AveragePrecision(labels), PanopticQuality(labels))]
        for way in VOTES
        if way != votes
    }
    samples: list[Sample] = []
    # Frames may differ in size, so they are not put into batches.
    loader: DataLoader[Frame] = DataLoader(_Frames(dataset), batch_size=None, num_workers=config.workers)
    for frame in progress.track(loader, "evaluating", len(dataset)):
        scene = model.predict(frame.image, frame.camera, frame.size[0], learned_noise=True)
        held = _in_classes_of(labels, scene, model.info.labels)
        for task in tasks:
            for counted in own[task.name]:
                counted.add(held, frame)
        baselines.count(frame)
        for way, counts in others.items():
            other = _in_classes_of(labels, _scene_by_votes(tasks, scene, model.info.labels, way), model.info.labels)
            for counted in counts:
                counted.add(other, frame)
        if keep:
            keep(frame.name, held, frame.size, labels)
        if frame.name in shown:
            drawn = [picture for task in tasks for picture in task.visualize(frame, scene)]
            samples.append(Sample(frame.name, [Picture("Image", frame.image, None), *drawn]))
    measurements = [m for counts in own.values() for counted in counts for m in counted.measure()]
    by_votes = {way: [m for counted in counts for m in counted.measure()] for way, counts in others.items()}
    measured = {m.key for found in by_votes.values() for m in found}
    by_votes[votes] = [m for m in measurements if m.key in measured]
    evaluation = Evaluation(
        measurements,
        baselines.measure(),
        {way: by_votes[way] for way in VOTES} if measured else {},
        describe_evaluation(data, split, dataset, begin)
        | {"tasks": [task.name for task in tasks], "checkpoint": checkpoint, "votes": votes},
        all_counts(own),
    )
    return EvaluatedRun(evaluation, samples, labels)


class _Baselines:
    """The run's baseline predictors, which see no image, and the counts of each task's metrics for them."""

    def __init__(self, run: Path, tasks: Sequence[Task], labels: LabelSpace, model_labels: LabelSpace) -> None:
        self.labels, self.model_labels = labels, model_labels
        stored = read_baselines(run)
        self.predictors = {
            task.name: (task, predictor, stored[task.name])
            for task in tasks
            if task.name in stored and (predictor := task.baseline()) is not None
        }
        self.counts = {
            name: [MetricCounts(metric) for metric in task.metrics(labels)]
            for name, (task, *_) in self.predictors.items()
        }

    def count(self, frame: Frame) -> None:
        for name, (task, predictor, prediction) in self.predictors.items():
            guess = predictor.resize(prediction, *frame.size)
            scene = {name: task.baseline_result(guess, self.model_labels)}
            held = _in_classes_of(self.labels, scene, self.model_labels)
            for counted in self.counts[name]:
                counted.add(held, frame)

    def measure(self) -> list[Measurement]:
        return [
            m
            for counts in self.counts.values()
            for counted in counts
            if (known := [of_frame for of_frame in counted.frames.values() if of_frame])
            for m in counted.metric.summarise(known)
        ]


def _in_classes_of(labels: LabelSpace, scene: Mapping[str, Any], model_labels: LabelSpace) -> Mapping[str, Any]:
    """Translate the ids of a scene from the model's classes to the data's; see `LabelSpace.onto`."""
    if labels == model_labels:
        return scene
    table = model_labels.onto(labels)
    results = dict(scene)
    if (ids := part(scene, Semantic.name, "ids")) is not None:
        parts = {name: part(scene, Semantic.name, name) for name in ("probability", "learned_probability")}
        results[Semantic.name] = SimpleNamespace(ids=table[ids], **parts)
    if (regions := part(scene, Instance.name, "regions")) is not None:
        parts = {name: part(scene, Instance.name, name) for name in ("values", "sigma", "noise_scale", "noise")}
        moved = [replace(region, class_id=int(table[region.class_id])) for region in regions]
        results[Instance.name] = SimpleNamespace(regions=moved, **parts)
    return results


def _load_model(run: Path, checkpoint: str, config: TrainConfig, dataset: SceneDataset) -> SceneModel:
    """Load the model of a checkpoint. A run that is not finished has no model yet, and no scales of its errors."""
    device = "cpu" if config.accelerator == "cpu" else None
    folder = model_folder(run, checkpoint)
    if (folder / INFO_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        return SceneModel.load(folder, device, trust_code=True)
    module = load_module(run, checkpoint)
    info = describe_model(module, dataset.read(0, ["image"]).size[0])
    model = SceneModel(info, module.tasks, module.network).eval()
    model.to_device(device)
    return model


def _scene_by_votes(tasks: Sequence[Task], scene: ScenePrediction, labels: LabelSpace, way: Votes) -> Mapping[str, Any]:
    """Return a frame's results with instances clustered by the other method; empty if the model has no instances."""
    task = next((task for task in tasks if isinstance(task, Instance)), None)
    if task is None or scene[task.name].regions is None:
        return {}
    found = task.cluster(scene[task.name].vectors, scene, PostprocessContext(labels), way)
    return dict(scene) | {task.name: found}
