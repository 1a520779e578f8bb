"""AP and PQ of one network's votes by each setting of `votes`, so that an evaluation compares ours with the paper's."""

from __future__ import annotations

from collections.abc import Sequence

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import in_classes_of
from multisigma.metrics import AveragePrecision, Measurement, PanopticQuality
from multisigma.models import ScenePrediction
from multisigma.tasks import VOTES, Instance, PostprocessContext, Task, Votes
from multisigma.training.evaluate_predictions import MetricCounts

__all__ = ["VoteComparison"]


class VoteComparison:
    """Cluster each frame's votes by the settings that were not chosen, and count AP and PQ for them.

    Args:
        tasks: The tasks of the model; without the instance task nothing is compared.
        labels: The classes of the data.
        model_labels: The classes of the model.
        chosen: The setting of the predictions, whose numbers the evaluation has already.
    """

    def __init__(self, tasks: Sequence[Task], labels: LabelSpace, model_labels: LabelSpace, chosen: Votes) -> None:
        self.task = next((task for task in tasks if isinstance(task, Instance)), None)
        self.labels, self.model_labels, self.chosen = labels, model_labels, chosen
        self.counts = {
            votes: [MetricCounts(AveragePrecision(labels)), MetricCounts(PanopticQuality(labels))]
            for votes in VOTES
            if votes != chosen
        }

    def count(self, prediction: ScenePrediction, frame: Frame) -> None:
        """Cluster and count one frame, if the model gives instances."""
        if self.task is None or prediction[self.task.name].regions is None:
            return
        context, vectors = PostprocessContext(self.model_labels), prediction[self.task.name].vectors
        for votes, counts in self.counts.items():
            instances = self.task.cluster(vectors, prediction, context, votes)
            scene = in_classes_of(dict(prediction) | {self.task.name: instances}, self.model_labels, self.labels)
            for counted in counts:
                counted.add(scene, frame)

    def measure(self, measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
        """Return the numbers by setting; empty if no instances were counted.

        Args:
            measurements: The numbers of the evaluation, those of the chosen setting among them.
        """
        found = {votes: [m for counted in counts for m in counted.measure()] for votes, counts in self.counts.items()}
        compared = {m.key for of_setting in found.values() for m in of_setting}
        found[self.chosen] = [m for m in measurements if m.key in compared]
        return {votes: found[votes] for votes in VOTES} if compared else {}
