"""The interface of a task: everything that is particular to it. Network, training and evaluation follow from it."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from multisigma.datasets.frame import Frame
from multisigma.errors import MultisigmaError
from multisigma.metrics import LaplaceCoverage
from multisigma.tasks.baselines import Baseline
from multisigma.tasks.results import DenseResult, PostprocessContext, TaskResult
from multisigma.visualization.picture import Picture
from multisigma.weighting import Laplace, Likelihood


class Task(ABC):
    """One output of the network.

    Targets and predictions share one form, without the batch dimension for a single frame, and carry their own mask of
    labelled pixels: 255 in class maps, NaN in regressions.

    Attributes:
        name: The key of this task everywhere: outputs, losses, logs, pictures, command line.
        channels: The number of the network's output channels.
        likelihood: The noise model whose negative log likelihood the loss is.
        kind: The field of the frame that its labels come from, for messages; None if they come from no file.
        uses: Names of other tasks whose results `postprocess` looks at, where the network has these tasks.
    """

    name: ClassVar[str]
    channels: ClassVar[int]
    kind: ClassVar[str | None] = None
    uses: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def likelihood(self) -> Likelihood:
        """The noise model; a subclass may simply assign one, `likelihood = Softmax()`."""

    @abstractmethod
    def target(self, frame: Frame) -> Tensor:
        """Make the target of a frame; all unlabelled where the frame lacks this task's labels."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss over labelled elements.

        Args:
            output: The network's output of shape (B, channels, H, W).
            target: The batch of targets.

        Returns:
            The sum over labelled elements and their number, both scalars.
        """

    @abstractmethod
    def predict(self, output: Tensor) -> Tensor:
        """Turn the network's output of shape (B, channels, H, W) into predictions in the form of the targets."""

    @abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """Make fresh metrics: `update(prediction, target)` on batches, `compute()` returns a dictionary of numbers."""

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> TaskResult:
        """Return this task's result for one image; by default the prediction as a `DenseResult`.

        Args:
            output: The network's output for this task, shape (channels, H, W).
            scene: The results of the tasks that `uses` names, by task name, as far as the network has them.
            context: The model's classes, the camera, and the scale of the errors.
        """
        return DenseResult(self.predict(torch.from_numpy(output)[None])[0].numpy())

    def noise_scale(self, loss: float) -> float | None:
        """Return the scale of this task's errors that fits a mean loss over validation frames; None by default."""
        return None

    def calibration(self, sigma: float | None) -> Sequence[Metric]:
        """Make fresh metrics of how well the noise describes the errors: `update(output, target)`; none by default.

        Args:
            sigma: The noise scale that the run has learned for this task; None where it has learned none.
        """
        return []

    @abstractmethod
    def baseline(self) -> Baseline:
        """Make a fresh predictor that sees no image, for comparison."""

    @abstractmethod
    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        """Draw this task's pictures of a frame.

        Args:
            frame: The frame with its labels, or with none.
            scene: Every task's result at the size of the frame, by task name.
        """


class RegressionTask(Task):
    """A regression with an L1 loss: section 4. NaN in the target marks values without a label.

    The loss is the L1 norm of a pixel's error, averaged over labelled pixels: the absolute errors of the channels add.
    A pixel is labelled if all its channels are. The likelihood is a Laplace with one scale `b` for all channels, which
    has a normaliser `log(b)` for each of them.
    """

    @property
    def likelihood(self) -> Likelihood:
        return Laplace(dimension=self.channels)

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        labelled = target.isfinite().all(1, keepdim=True)  # (B, 1, H, W)
        # Masked before the subtraction: NaN times zero would still be NaN in the gradient.
        error = F.l1_loss(output.float(), target.where(labelled, 0.0), reduction="none")
        return (error * labelled).sum(), labelled.sum()

    def noise_scale(self, loss: float) -> float | None:
        # The maximum likelihood estimate of a Laplace's scale: the mean absolute error of a channel.
        return loss / self.channels if isinstance(self.likelihood, Laplace) else None

    def calibration(self, sigma: float | None) -> Sequence[Metric]:
        return [LaplaceCoverage(self.name, sigma)] if sigma is not None and isinstance(self.likelihood, Laplace) else []


def postprocess(
    tasks: Sequence[Task], outputs: Mapping[str, NDArray[np.float32]], context: PostprocessContext
) -> dict[str, TaskResult]:
    """Return every task's result for one image, each made once, after those that it uses.

    Args:
        tasks: The tasks of the network.
        outputs: The network's outputs of shape (channels, H, W), by task name.
        context: The model's classes, the camera, and the scale of the errors.

    Raises:
        MultisigmaError: Tasks use each other's results in a circle.
    """
    by_name = {task.name: task for task in tasks}
    graph = {task.name: [name for name in task.uses if name in by_name] for task in tasks}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise MultisigmaError(f"Tasks must not use each other's results in a circle. Found {error.args[1]}.") from error
    results: dict[str, TaskResult] = {}
    for name in order:
        used = {other: results[other] for other in graph[name]}
        results[name] = by_name[name].postprocess(outputs[name], used, context)
    return {task.name: results[task.name] for task in tasks}


BUILT_IN = {"semantic": "Semantic", "instance": "Instance", "depth": "Depth"}
"""Class of each built-in task by its name."""


def load_tasks(names: Sequence[str]) -> list[Task]:
    """Load the tasks of a configuration.

    Args:
        names: Built-in tasks by name ('semantic', 'instance', 'depth') and a user's own as 'package.module:Class'.

    Raises:
        MultisigmaError: A name is unknown, cannot be imported, is no task, or is given twice; or there is none.
    """
    if not names:
        raise MultisigmaError("Parameter `tasks` must name at least one task; found none.")
    tasks = [_load_task(name) for name in names]
    found = [task.name for task in tasks]
    if len(set(found)) < len(found):
        raise MultisigmaError(f"Parameter `tasks` must name each task once; found {found}.")
    return tasks


def _load_task(name: str) -> Task:
    module, _, attribute = (
        f"multisigma.tasks:{BUILT_IN[name]}".partition(":") if name in BUILT_IN else name.partition(":")
    )
    if not attribute:
        raise MultisigmaError(
            f"Parameter `tasks` must name any of {', '.join(BUILT_IN)}, or a class as 'package.module:Class'; "
            f"found {name!r}."
        )
    try:
        task_class = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MultisigmaError(
            f"Parameter `tasks`: {name!r} cannot be imported ({error}); is it on the Python path?"
        ) from error
    if not (isinstance(task_class, type) and issubclass(task_class, Task)):
        raise MultisigmaError(f"Parameter `tasks`: {name!r} must be a class derived from multisigma.tasks.Task.")
    return task_class()
