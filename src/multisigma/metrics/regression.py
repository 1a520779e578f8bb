"""Errors of dense regressions over the labelled pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Frame
from multisigma.datasets.scene import DensePrediction, Scene
from multisigma.errors import MultisigmaError
from multisigma.metrics.base import Counts, Measurement, SumMetric
from multisigma.metrics.counting import finite_sum, ratio

__all__ = ["DenseErrors", "TargetOf", "VectorErrors", "errors_of", "values_of"]

TargetOf = Callable[[Frame], NDArray[np.floating]]
"""Makes a frame's target of shape (channels, H, W), NaN where not labelled."""

_VECTORS: Final = (
    "Of the vectors from pixels to their instance's centroid, over the pixels of instances: mean error is the mean L1 "
    "norm |dx| + |dy|, the training loss and the error of table 1; mean component error is half of it; end-point error "
    "is the mean length of the error."
)


def errors_of(prediction: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the errors of the pixels whose channels are all labelled, in 64 bits.

    Args:
        prediction: Shape (channels, H, W).
        target: Shape (channels, H, W); NaN where not labelled.

    Returns:
        Shape (channels, pixels).

    Raises:
        MultisigmaError: If shapes differ.
    """
    if prediction.shape != target.shape:
        raise MultisigmaError(
            "Prediction and target of an error should have the same shape. "
            f"Found {prediction.shape} and {target.shape}."
        )
    labelled = ~np.isnan(target).any(0)
    return prediction[:, labelled].astype(np.float64) - target[:, labelled]


def values_of(scene: Scene, task: str) -> NDArray[np.floating] | None:
    """Return the values that a task predicts; None if it predicts none.

    Args:
        scene: The result of each task.
        task: Name of the task.

    Raises:
        MultisigmaError: If the task's result has no `values`.
    """
    result: DensePrediction | None = scene.get(task)
    if result is None:
        return None
    try:
        return result.values
    except AttributeError as error:
        raise MultisigmaError(
            f"Task {task!r}: its result must have `values` of shape (channels, H, W). Found {type(result).__name__} "
            "without. Return a DenseResult from `postprocess`, or other metrics from `metrics`."
        ) from error


class DenseErrors(SumMetric):
    """Mean absolute and root mean squared error of a regression over the labelled pixels of all frames.

    The mean runs over pixels and channels. A prediction that is not finite at a labelled pixel makes the errors
    infinite.

    Args:
        task: Name of the task; its result has `values` of shape (channels, H, W).
        target: Makes a frame's target.
        unit: Unit of the values; it ends the keys, `{task}_error_{unit}` and `{task}_rms_{unit}`.

    Example:
        >>> from types import SimpleNamespace
        >>> import numpy as np
        >>> from multisigma.datasets.fields import Image
        >>> frame = Frame("street", {"image": Image(np.zeros((1, 3, 3), np.uint8))})
        >>> metric = DenseErrors("edges", lambda frame: np.array([[[1.0, 5.0, np.nan]]]), "px")
        >>> counts = metric.count({"edges": SimpleNamespace(values=np.array([[[4.0, 9.0, 5.0]]]))}, frame)
        >>> [(m.key, round(m.value, 3), m.unit) for m in metric.summarise([counts])]
        [('edges_error_px', 3.5, 'px'), ('edges_rms_px', 3.536, 'px')]
    """

    def __init__(self, task: str, target: TargetOf, unit: str = "") -> None:
        self.task, self.target, self.unit = task, target, unit

    def blanks(self) -> list[Measurement]:
        name, end = self.task.replace("_", " ").capitalize(), f"_{self.unit}" if self.unit else ""
        mean = "Mean absolute error over every labelled value of all frames."
        rms = "Root of the mean squared error over every labelled value of all frames; large errors weigh more."
        return [
            Measurement(
                f"{self.task}_error{end}", nan, self.unit, False, mean, name=f"{name} mean error", is_main=True
            ),
            Measurement(f"{self.task}_rms{end}", nan, self.unit, False, rms, name=f"{name} RMS error"),
        ]

    def zeros(self) -> Counts:
        # The sums are of absolute and squared errors.
        return {"sums": np.zeros(2), "values": np.zeros((), np.int64)}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene[task].values` and its target.

        Raises:
            MultisigmaError: If shapes differ or the result has no `values`.
        """
        values = values_of(scene, self.task)
        if values is None:
            return {}
        errors = errors_of(values, self.target(frame))
        if not errors.size:
            return {}
        sums = np.array([finite_sum(np.abs(errors)), finite_sum(np.square(errors))])
        return {"sums": sums, "values": np.asarray(errors.size)}

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        mean, squared = ratio(totals["sums"], totals["values"][:, None]).T
        return dict(zip((blank.key for blank in self.blanks()), (mean, np.sqrt(squared)), strict=True))


class VectorErrors(SumMetric):
    """Mean size of the error of vectors over labelled pixels, by three measures.

    - `{task}_error_px`: the L1 norm `|dx| + |dy|`, the instance loss of section 4 and the error of table 1;
    - `{task}_component_error_px`: the mean of `|dx|` and `|dy|`, half of that;
    - `{task}_endpoint_px`: the Euclidean length, from 0.71 to 1 times the L1 norm.

    Args:
        task: Name of the task, such as 'instance'; its result has `values` of shape (2, H, W).
        target: Makes a frame's target.
    """

    def __init__(self, task: str, target: TargetOf) -> None:
        self.task, self.target = task, target

    def blanks(self) -> list[Measurement]:
        name = self.task.replace("_", " ").capitalize()
        kinds = {"error": "mean error", "component_error": "mean component error", "endpoint": "end-point error"}
        return [
            Measurement(
                f"{self.task}_{kind}_px",
                nan,
                "px",
                False,
                _VECTORS,
                name=f"{name} {described}",
                is_main=kind == "error",
            )
            for kind, described in kinds.items()
        ]

    def zeros(self) -> Counts:
        # Sums over pixels of the L1 norm and of the length.
        return {"norms": np.zeros(2), "pixels": np.zeros((), np.int64)}

    def count(self, scene: Scene, frame: Frame) -> Counts:
        """Count a frame by `scene[task].values` and its target.

        Raises:
            MultisigmaError: If shapes differ, there are not two components, or the result has no `values`.
        """
        vectors = values_of(scene, self.task)
        if vectors is None:
            return {}
        if vectors.ndim != 3 or len(vectors) != 2:
            raise MultisigmaError(f"Vectors should have the shape (2, H, W). Found {vectors.shape}.")
        errors = errors_of(vectors, self.target(frame))
        if not errors.size:
            return {}
        norms = np.array([finite_sum(np.abs(errors).sum(0)), finite_sum(np.hypot(*errors))])
        return {"norms": norms, "pixels": np.asarray(errors.shape[1])}

    def scores(self, totals: Counts) -> dict[str, NDArray[np.float64]]:
        norm, length = ratio(totals["norms"], totals["pixels"][:, None]).T
        return {
            f"{self.task}_error_px": norm,
            f"{self.task}_component_error_px": norm / 2,
            f"{self.task}_endpoint_px": length,
        }
