"""The interface of a task, from which network, training and evaluation are built.

The tasks load torch on first use in training. Predicting with an exported model needs none.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.metrics import DenseErrors, IntervalCoverage, Metric
from multisigma.metrics.regression import TargetOf
from multisigma.tasks.baselines import Baseline
from multisigma.tasks.results import DenseResult, PostprocessContext, TaskResult
from multisigma.visualization.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

    from multisigma.weighting import Likelihood

Noise = Literal["laplace", "gaussian"]
"""The distribution of a regression's errors."""


class Task(ABC):
    """One output of the network.

    The parameters of its constructor are its options: `--task.NAME.OPTION VALUE`. It needs `name`, `channels`,
    `likelihood`, `target` and `loss`; the rest has defaults.

    Targets mark unlabelled pixels: 255 in class maps, NaN in regressions.

    Attributes:
        name: The key of this task everywhere: outputs, losses, logs, pictures, command line.
        fields: The fields of a frame that its labels come from, for messages.
        requires: Names of other tasks whose results `postprocess` uses, if the network has these tasks.
        per_class: Whether output channel i is the evaluated class of training id i.
        unit: Unit of the values, which also ends the keys of the error metrics. 'px' means lengths that grow with the
            image; empty means pure numbers.
    """

    name: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = ""
    per_class: ClassVar[bool] = False

    @abstractmethod
    def channels(self, labels: LabelSpace) -> int:
        """Return the number of the network's output channels for data of these classes."""

    @property
    @abstractmethod
    def likelihood(self) -> Likelihood:
        """The noise model. A subclass may assign it as an attribute: `likelihood = Softmax()`."""

    @abstractmethod
    def target(self, frame: Frame) -> Tensor:
        """Return the target of a frame, all unlabelled if the frame lacks this task's labels."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss over labelled elements.

        Args:
            output: The network's output of shape (B, channels, H, W).
            target: The batch of targets.

        Returns:
            The sum over labelled elements and their number, both scalars.
        """

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        """Return the metrics of this task's result; none by default.

        Args:
            labels: The classes of the data.
        """
        return []

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> TaskResult:
        """Return this task's result for one image; by default the output as a `DenseResult`.

        Args:
            output: The network's output for this task, shape (channels, H, W).
            scene: The results of those tasks in `requires` that the network has, by task name.
            context: The model's classes, the camera, and the scale of the errors.
        """
        return DenseResult(output)

    def mirrored(self, output: Tensor) -> Tensor:
        """Return the output for an image from that for the mirrored image; by default the columns in reverse order.

        Override it if channels are directions: their x changes its sign.

        Args:
            output: Shape (B, channels, H, W).
        """
        return output.flip(-1)

    def noise_scale(self, loss: float) -> float | None:
        """Return the noise scale that a mean validation loss implies, such as b of a Laplace; None by default."""
        return None

    def class_samples(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return class logits and labels of some pixels of validation frames; None by default.

        A temperature that calibrates the probabilities is fitted to them. `postprocess` gets it as
        `context.temperatures`.

        Args:
            output: The network's output of shape (B, channels, H, W).
            target: The batch of targets.

        Returns:
            Logits of shape (N, classes) and labels of shape (N,).
        """
        return None

    def score_samples(
        self, scene: Mapping[str, Any], frame: Frame
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Return scores of the objects of a validation frame, and whether each is right; None by default.

        A logistic calibration is fitted to them. `postprocess` gets it as `context.score_calibrations`.

        Args:
            scene: Every task's result, by task name.
            frame: The frame with its labels.

        Returns:
            Scores from 0 to 1 and whether the object is right, each of shape (N,).
        """
        return None

    def baseline(self) -> Baseline | None:
        """Return a new predictor that sees no image, to compare with; None by default."""
        return None

    def baseline_result(self, prediction: NDArray[Any], labels: LabelSpace) -> Any:
        """Return the baseline's prediction as a result for the metrics.

        Args:
            prediction: In the form of the targets, at the size of the frame.
            labels: The classes.
        """
        return self.postprocess(prediction, {}, PostprocessContext(labels))

    def visualize(self, frame: Frame, scene: Mapping[str, TaskResult]) -> list[Picture]:
        """Draw this task's pictures of a frame; none by default.

        Args:
            frame: The frame; it may have no labels.
            scene: Every task's result at the size of the frame, by task name.
        """
        return []

    def annotate(self, picture: NDArray[np.uint8], scene: Mapping[str, TaskResult]) -> NDArray[np.uint8]:
        """Return a frame of a video with this task's result drawn over it; unchanged by default.

        Args:
            picture: The frame with the results of the tasks before, RGB of shape (H, W, 3).
            scene: Every task's result at the size of the frame, by task name.
        """
        return picture

    def video_panel(self, scene: Mapping[str, TaskResult]) -> NDArray[np.uint8] | None:
        """Return a picture that a video shows beside the frame; None by default.

        Its colours must mean the same in each frame, or they would flicker.

        Args:
            scene: Every task's result at the size of the frame, by task name.

        Returns:
            RGB of shape (H, W, 3).
        """
        return None


def mirrored_x(output: Tensor) -> Tensor:
    """Return `Task.mirrored` of vectors whose first channel is x; shape (B, channels, H, W)."""
    output = output.flip(-1)
    output[:, 0] *= -1
    return output


class RegressionTask(Task):
    """A regression with absolute errors, as in section 4, or squared errors. NaN in the target means no label.

    The loss is the sum over a pixel's channels of the absolute or squared errors, averaged over labelled pixels. A
    pixel is labelled if all its channels are. All channels share one noise scale, so the term log(scale) is multiplied
    by `dimension`.

    Args:
        likelihood: 'laplace' for absolute errors, 'gaussian' for squared errors.

    Attributes:
        dimension: The number of values of a pixel.
        noise: The distribution of the errors.
    """

    dimension: ClassVar[int] = 1
    # For subclasses whose constructor does not call this one.
    noise: Noise = "laplace"

    def __init__(self, likelihood: Noise = "laplace") -> None:
        self.noise = likelihood

    def channels(self, labels: LabelSpace) -> int:
        return self.dimension

    @property
    def likelihood(self) -> Likelihood:
        from multisigma.weighting import Gaussian, Laplace

        return (Laplace if self.noise == "laplace" else Gaussian)(dimension=self.dimension)

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        from torch.nn import functional as F

        labelled = target.isfinite().all(1, keepdim=True)  # (B, 1, H, W)
        distance = F.l1_loss if self.noise == "laplace" else F.mse_loss
        # Masked before the subtraction: NaN times zero would still be NaN in the gradient.
        error = distance(output.float(), target.where(labelled, 0.0), reduction="none")
        return (error * labelled).sum(), labelled.sum()

    def noise_scale(self, loss: float) -> float | None:
        # The maximum likelihood estimates: a Laplace's mean absolute error, a Gaussian's root of the mean square.
        mean = loss / self.dimension
        return mean if self.noise == "laplace" else math.sqrt(mean)

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> TaskResult:
        return DenseResult(output, context.noise_scales.get(self.name), context.sigmas.get(self.name), self.noise)

    def true_values(self) -> TargetOf:
        """Return a function from a frame to its target as an array, which caches the last frame's target."""
        return lru_cache(maxsize=1)(lambda frame: self.target(frame).numpy())

    def metrics(self, labels: LabelSpace) -> Sequence[Metric]:
        true_values = self.true_values()
        return [DenseErrors(self.name, true_values, self.unit), IntervalCoverage(self.name, true_values)]


def postprocess(
    tasks: Sequence[Task], outputs: Mapping[str, NDArray[np.float32]], context: PostprocessContext
) -> dict[str, TaskResult]:
    """Return every task's result for one image. Tasks are computed after those that they require.

    Args:
        tasks: The tasks of the network.
        outputs: The network's outputs of shape (channels, H, W), by task name.
        context: The model's classes, the camera, and the scale of the errors.

    Raises:
        MultisigmaError: Tasks require each other's results in a circle.
    """
    by_name = {task.name: task for task in tasks}
    graph = {task.name: [name for name in task.requires if name in by_name] for task in tasks}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise MultisigmaError(
            f"Tasks must not require each other's results in a circle. Found {error.args[1]}."
        ) from error
    results: dict[str, TaskResult] = {}
    for name in order:
        used = {other: results[other] for other in graph[name]}
        results[name] = by_name[name].postprocess(outputs[name], used, context)
    return {task.name: results[task.name] for task in tasks}
