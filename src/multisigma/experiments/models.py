"""Evaluations of finished models, such as the one that the package ships, for table 2 and figure 9."""

from __future__ import annotations

import time
from pathlib import Path

from multisigma.datasets.open import open_dataset
from multisigma.datasets.scene import in_classes_of
from multisigma.experiments.execute import hash_of_data
from multisigma.experiments.study import Study
from multisigma.files import new_folder
from multisigma.metrics import Evaluation
from multisigma.metrics.evaluation import METRICS_FILE
from multisigma.models import SceneModel
from multisigma.models.model_info import SHIPPED
from multisigma.training.evaluate_predictions import MetricCounts, all_counts, describe_evaluation


def models_option(study: Study) -> str:
    """Return the option of the command that names a study's models, with a space before it; empty for its default."""
    return "" if tuple(study.models) == (SHIPPED,) else f" --models {','.join(study.models)}"


def load(name: str) -> SceneModel:
    """Load a model by the path of its folder, or the one that the package ships."""
    return SceneModel.default() if name == SHIPPED else SceneModel.load(name)


def evaluations(study: Study) -> dict[str, Evaluation]:
    """Return the evaluation of each model of a study that is in its folder, by the model's name.

    With data, those that are missing are measured on the split 'val' and written there.
    """
    found = {}
    for name in study.models:
        folder = study.folder / "models" / Path(name).name
        if not (folder / METRICS_FILE).is_file() and study.data is not None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(folder, replace=True) as fresh:
                evaluate_model(load(name), study.data).write(fresh)
        if (folder / METRICS_FILE).is_file():
            found[name] = Evaluation.read(folder, counts=True)
    return found


def evaluate_model(model: SceneModel, data: str) -> Evaluation:
    """Measure a model on the split 'val' at the frames' own size, with the counts of each frame.

    Args:
        model: The model.
        data: The data, as `open_dataset` takes it.
    """
    begin = time.perf_counter()
    dataset = open_dataset(data, "val")
    counts = {task.name: [MetricCounts(metric) for metric in task.metrics(dataset.labels)] for task in model.tasks}
    for i in range(len(dataset)):
        frame = dataset.read(i)
        prediction = model.predict(frame.image, frame.camera, frame.size[0])
        scene = in_classes_of(prediction, model.info.labels, dataset.labels)
        for of_task in counts.values():
            for counted in of_task:
                counted.add(scene, frame)
    return Evaluation(
        [m for of_task in counts.values() for counted in of_task for m in counted.measure()],
        provenance=describe_evaluation(data, "val", dataset, begin)
        | {"data": hash_of_data(data), "encoder": model.info.encoder, "working_height": model.info.working_height},
        counts=all_counts(counts),
    )
