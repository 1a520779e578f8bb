"""Evaluate any system's files on a split. Also the parts that every evaluation uses. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from multisigma import __version__
from multisigma.datasets.dataset import SceneDataset, unlabelled
from multisigma.datasets.frame import Frame
from multisigma.datasets.open import open_dataset
from multisigma.datasets.predictions import ENDINGS, inspect_prediction, list_predictions
from multisigma.datasets.problems import DataError
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics import (
    AveragePrecision,
    Counts,
    DepthErrors,
    Evaluation,
    IoU,
    Measurement,
    Metric,
    PanopticQuality,
    measure,
)
from multisigma.metrics.evaluation import METRICS_FILE
from multisigma.progress import SILENT, Progress


class MetricCounts:
    """A metric and its counts of each frame."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.frames: dict[str, Counts] = {}

    def add(self, scene: Scene, frame: Frame) -> None:
        self.frames[frame.name] = self.metric.count(scene, frame)

    def measure(self) -> list[Measurement]:
        return measure(self.metric, self.frames)


def evaluate_predictions(
    predictions: Path, data: str | Path, split: str = "val", progress: Progress = SILENT
) -> Evaluation:
    """Evaluate any system's files on a split by the same rules. Images are not read.

    Args:
        predictions: Folder of the files; see `multisigma.datasets.predictions`.
        data: The data, as `open_dataset` takes it.
        split: The split's name.
        progress: Is told the number of finished frames.

    Raises:
        MultisigmaError: Files are missing, too many or malformed, and the message lists all faults; or no frame has a
            label of what is predicted.
    """
    begin = time.perf_counter()
    dataset = open_dataset(data, split)
    require_labels(data, split, dataset)
    fields = dataset.label_counts().keys()
    found, problems = list_predictions(predictions, [dataset.name(i) for i in range(len(dataset))])
    kinds = {kind: (kind,) for kind in ENDINGS if (predictions / kind).is_dir()}
    require_common_task(data, split, dataset, kinds, predictions)
    labels = dataset.labels
    counts = {
        "semantic": [MetricCounts(IoU(labels))],
        "instance": [MetricCounts(AveragePrecision(labels)), MetricCounts(PanopticQuality(labels))],
        "depth": [MetricCounts(DepthErrors())],
    }
    for i, files in enumerate(progress.track(found, "evaluating")):
        try:
            frame = dataset.read(i, fields)
        except DataError as error:
            problems += error.problems
            continue
        scene, faults = inspect_prediction(files, predictions, frame.size if frame.fields else None, labels)
        problems += faults
        if not problems:
            for counted in (counted for of_task in counts.values() for counted in of_task):
                counted.add(scene, frame)
    if problems:
        raise MultisigmaError("\n".join([f"{len(problems)} faults", *map(str, problems)]))
    return Evaluation(
        [m for of_task in counts.values() for counted in of_task for m in counted.measure()],
        provenance=describe_evaluation(data, split, dataset, begin) | {"predictions": str(predictions)},
        counts=all_counts(counts),
    )


def evaluation_folder(
    parent: Path,
    name: str | None,
    data: str | Path,
    split: str,
    checkpoint: str = "last",
    votes: str = "default",
    model: str = "run",
) -> Path:
    """Return the folder of an evaluation: PARENT/evaluations/NAME.

    Args:
        parent: The run folder, or the folder of predictions.
        name: The name; None for one made of the data and the split, and of checkpoint, votes and model if they are
            not the defaults.
        data: The data.
        split: The split's name.
        checkpoint: 'last' or 'best'.
        votes: How votes are clustered.
        model: 'run', or what the user named as the model to evaluate instead.

    Raises:
        MultisigmaError: The name is no name of a folder, or the place holds an evaluation of something else.
    """
    source = _absolute(data)
    if name is None:
        parts = [source.stem if source.is_file() else source.name, split]
        parts += [checkpoint] if checkpoint != "last" else []
        parts += [f"votes-{votes}"] if votes != "default" else []
        parts += [f"model-{Path(model).name}"] if model != "run" else []
        name = "-".join(parts)
    if not name or name != Path(name).name or name in (".", ".."):
        raise MultisigmaError(f"Option --name must be the name of a folder. Found {name!r}. Use letters and digits.")
    folder = parent / "evaluations" / name
    if (folder / METRICS_FILE).is_file():
        wanted = {"data": str(source), "split": split, "checkpoint": checkpoint, "votes": votes, "model": model}
        previous = {"checkpoint": "last", "votes": "default", "model": "run"} | dict(Evaluation.read(folder).provenance)
        if different := [f"{key} {previous.get(key)}" for key, value in wanted.items() if previous.get(key) != value]:
            raise MultisigmaError(
                f"{folder}: must be a new place, or one of the same data and settings. Found an evaluation with "
                f"{', '.join(different)}. Choose another --name."
            )
    return folder


def all_counts(counts: Mapping[str, Sequence[MetricCounts]]) -> dict[str, Mapping[str, Counts]]:
    """Return the counts of all metrics by TASK/CLASS, with a number where a task has several of one class."""
    found: dict[str, Mapping[str, Counts]] = {}
    for task, of_task in counts.items():
        for counted in of_task:
            name = f"{task}/{type(counted.metric).__name__}"
            same = sum(other == name or other.startswith(f"{name}-") for other in found)
            found[f"{name}-{same + 1}" if same else name] = counted.frames
    return found


def require_labels(data: str | Path, split: str, dataset: SceneDataset) -> None:
    """Raise `DataError` if no frame of the split has a label."""
    if problem := unlabelled(dataset, data, split):
        raise DataError(problem)


def require_common_task(
    data: str | Path, split: str, dataset: SceneDataset, fields: Mapping[str, Sequence[str]], source: Path
) -> None:
    """Raise `MultisigmaError` if a split has labels for none of the tasks.

    Args:
        data: What the user named as the data.
        split: The split's name.
        dataset: The split.
        fields: The fields that each task's labels come from, by task name. A task without fields may have labels.
        source: The run, or the folder of predictions.
    """
    counts = dataset.label_counts()
    if any(not names or any(counts.get(name) for name in names) for names in fields.values()):
        return
    labelled = ", ".join(name for name, count in counts.items() if count and name != "camera")
    raise MultisigmaError(
        f"{source}: the data must have labels for a task of the evaluated system. Found the tasks {', '.join(fields)}, "
        f"and in the split '{split}' of {data} labels of {labelled or 'nothing'}. Take other data, or a system with "
        "one of these tasks."
    )


def describe_evaluation(data: str | Path, split: str, dataset: SceneDataset, begin: float) -> dict[str, Any]:
    """Return what was evaluated, for the record."""
    return {
        "data": str(_absolute(data)),
        "split": split,
        "frames": len(dataset),
        "labelled_frames": dataset.label_counts(),
        "label_space": dataset.labels.name,
        "evaluated": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - begin, 1),
        "multisigma_version": __version__,
    }


def _absolute(data: str | Path) -> Path:
    """Return the absolute path of data, the same from every working folder; the name of a class stays as it is."""
    return Path(data).resolve() if Path(data).exists() else Path(data)
