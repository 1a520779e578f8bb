"""Evaluate a trained run on a split: the numbers of tables 1 and 2 of the paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.evenly import evenly
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.module import readable_worker_errors
from multisigma.datasets.open import open_dataset
from multisigma.datasets.scene import Scene, in_classes_of
from multisigma.errors import MultisigmaError
from multisigma.metrics import Evaluation, Measurement
from multisigma.models import SceneModel
from multisigma.models.scene_model import INFO_FILE, WEIGHTS_FILE
from multisigma.progress import SILENT, Progress
from multisigma.tasks import Task, Votes, choose_votes
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
from multisigma.training.vote_comparison import VoteComparison
from multisigma.visualization.picture import Picture, Sample

KeepScene = Callable[[str, Scene, tuple[int, int], LabelSpace], None]
"""Called with a frame's name, its scene, its height and width, and the classes of the data."""


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
    """A data set as PyTorch's `DataLoader` wants it."""

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
    instead: tuple[str, SceneModel] | None = None,
    trust_code: bool = False,
) -> EvaluatedRun:
    """Evaluate a run on a split: predict each frame once at its own size, and count it for each metric.

    Args:
        run: The run folder.
        data: The data, as `open_dataset` takes it.
        split: The split's name.
        checkpoint: 'last' or 'best'.
        pictures: Number of frames to draw, spread evenly over the split.
        progress: Is told the number of finished frames.
        keep: Called with each frame's results, to write them.
        votes: How votes are clustered for metrics and pictures. AP and PQ are measured with the other setting too.
        instead: Name of a model, and the model, to evaluate instead of the run's: at its own working height, beside
            the run's baseline.
        trust_code: Import the run's own tasks and weighting, which runs their author's code.

    Raises:
        MultisigmaError: The run or the data is at fault; no frame has a label of a task and `keep` is None; or a task
            predicts classes, none of which the data have.
    """
    begin = time.perf_counter()
    config = read_run_config(run)
    dataset = open_dataset(data, split, config.missing_labels)
    model = _load_model(run, checkpoint, config, dataset, trust_code) if instead is None else instead[1]
    tasks, labels = model.tasks, dataset.labels
    if keep is None:
        require_labels(data, split, dataset)
        require_common_task(data, split, dataset, {task.name: task.fields for task in tasks}, run)
    _require_common_class(data, split, dataset, model, run)
    choose_votes(tasks, votes)
    shown = {dataset.name(i) for i in evenly(range(len(dataset)), pictures)}

    counts = {task.name: [MetricCounts(metric) for metric in task.metrics(labels)] for task in tasks}
    baselines = _BaselineCounts(run, tasks, labels, model.info.labels)
    comparison = VoteComparison(tasks, labels, model.info.labels, votes)
    samples: list[Sample] = []
    # Frames may differ in size, so they are not put into batches.
    loader: DataLoader[Frame] = DataLoader(_Frames(dataset), batch_size=None, num_workers=config.workers)
    for frame in progress.track(loader, "evaluating", len(dataset)):
        height = frame.size[0] if instead is None else None
        prediction = model.predict(frame.image, frame.camera, height, learned_noise=True)
        scene = in_classes_of(prediction, model.info.labels, labels)
        for of_task in counts.values():
            for counted in of_task:
                counted.add(scene, frame)
        baselines.count(frame)
        comparison.count(prediction, frame)
        if keep:
            keep(frame.name, scene, frame.size, labels)
        if frame.name in shown:
            drawn = [picture for task in tasks for picture in task.visualize(frame, prediction)]
            samples.append(Sample(frame.name, [Picture("Image", frame.image, None), *drawn]))
    measurements = [m for of_task in counts.values() for counted in of_task for m in counted.measure()]
    evaluation = Evaluation(
        measurements,
        baselines.measure(),
        comparison.measure(measurements),
        describe_evaluation(data, split, dataset, begin)
        | {
            "tasks": [task.name for task in tasks],
            "model": "run" if instead is None else instead[0],
            # Another model has no checkpoint of this run.
            **({"checkpoint": checkpoint} if instead is None else {}),
            "votes": votes,
        },
        all_counts(counts),
    )
    return EvaluatedRun(evaluation, samples, labels)


def _require_common_class(data: str | Path, split: str, dataset: SceneDataset, model: SceneModel, run: Path) -> None:
    """Raise `MultisigmaError` if the split has labels of classes, and the model predicts none of these."""
    counts = dataset.label_counts()
    by_class = {name for task in model.tasks for name in task.fields} & {"semantic", "instance"}
    if model.info.labels.common(dataset.labels) or not any(counts.get(name) for name in by_class):
        return
    ours, theirs = ([label.name for label in labels.train_classes] for labels in (model.info.labels, dataset.labels))
    raise MultisigmaError(
        f"{run}: the model and the data must have a class in common. Found {', '.join(ours)} in the model, and "
        f"{', '.join(theirs)} in the split {split!r} of {data}. Name the classes of the data as the model does, or "
        "take data without labels of classes to evaluate the other tasks."
    )


class _BaselineCounts:
    """What each task's metrics count of the run's baseline, which sees no image."""

    def __init__(self, run: Path, tasks: Sequence[Task], labels: LabelSpace, model_labels: LabelSpace) -> None:
        self.labels, self.model_labels = labels, model_labels
        self.path, stored = run / "baselines.npz", read_baselines(run)
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
            try:
                resized = predictor.resize(prediction, *frame.size)
                result = {name: task.baseline_result(resized, self.model_labels)}
            except Exception as error:
                # A stored array of another shape or type.
                raise MultisigmaError(
                    f"{self.path}: the baseline of {name} must be as training wrote it. Found {prediction.dtype} of "
                    f"shape {prediction.shape}. Restore the file, or train the run again."
                ) from error
            scene = in_classes_of(result, self.model_labels, self.labels)
            for counted in self.counts[name]:
                counted.add(scene, frame)

    def measure(self) -> list[Measurement]:
        return [
            m
            for counts in self.counts.values()
            for counted in counts
            if (known := [of_frame for of_frame in counted.frames.values() if of_frame])
            for m in counted.metric.summarise(known)
        ]


def _load_model(run: Path, checkpoint: str, config: TrainConfig, dataset: SceneDataset, trust_code: bool) -> SceneModel:
    """Load the model of a checkpoint. An unfinished run has only the checkpoint: no model file, no noise scales."""
    device = "cpu" if config.accelerator == "cpu" else None
    folder = model_folder(run, checkpoint)
    if (folder / INFO_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
        return SceneModel.load(folder, device, trust_code)
    module = load_module(run, checkpoint, trust_code)
    info = describe_model(module, dataset.read(0, ["image"]).size[0])
    model = SceneModel(info, module.tasks, module.network).eval()
    model.to_device(device)
    return model
