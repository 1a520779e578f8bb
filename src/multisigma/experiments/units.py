"""Which weightings need to be chosen anew when a task's unit changes? Section 1 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multisigma.datasets.frame import Camera, Frame
from multisigma.errors import MultisigmaError
from multisigma.experiments import table1
from multisigma.experiments.comparison import MAIN
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.statistics import gain_over_seeds, over_seeds
from multisigma.experiments.study import Study
from multisigma.metrics.regression import TargetOf
from multisigma.tasks import Depth, Instance, PostprocessContext
from multisigma.tasks.base import RegressionTask
from multisigma.tasks.results import TaskResult
from multisigma.training.config import TrainConfig

Unit = Literal["px", "widths", "1/m", "1/km"]
SEEDS = 3


def factor(unit: Unit, camera: Camera | None, width: int) -> float:
    """Return what pixels are multiplied by to be in a unit: shares of the frame's width, or inverse depth.

    Raises:
        MultisigmaError: The unit is one of inverse depth, and there is no camera.
    """
    if unit in ("px", "widths"):
        return 1.0 if unit == "px" else 1 / width
    if camera is None:
        raise MultisigmaError(f"Unit {unit!r} must have the camera of each frame. Found none. Take 'px' or 'widths'.")
    return (1.0 if unit == "1/m" else 1000.0) / (camera.fx * camera.baseline)


class _InUnit(RegressionTask):
    """A task whose target and loss are in another unit. Results and metrics stay in pixels.

    Args:
        unit: The unit of target and loss.
        scale: What the network's output is multiplied by. With 1 the last layer itself must learn the unit; with the
            size of a pixel in the unit only the loss changes.
    """

    def __init__(self, unit: Unit = "px", scale: float = 1.0) -> None:
        super().__init__()
        if unit not in get_args(Unit):
            raise MultisigmaError(f"Parameter `unit` must be one of {', '.join(get_args(Unit))}. Found {unit!r}.")
        self.in_unit, self.scale = unit, scale

    def target(self, frame: Frame) -> Tensor:
        return super().target(frame) * factor(self.in_unit, frame.camera, frame.size[1])  # type: ignore[safe-super]

    def loss(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return super().loss(output * self.scale, target)

    def true_values(self) -> TargetOf:
        pixels = super().target  # type: ignore[safe-super]
        return lru_cache(maxsize=1)(lambda frame: pixels(frame).numpy())

    def noise_scale(self, loss: float) -> None:
        # It would be in the unit, and results are in pixels.
        return None

    def baseline(self) -> Any:
        # Its prediction would be in the unit, and comes without a camera.
        return None

    def postprocess(
        self, output: NDArray[np.float32], scene: Mapping[str, TaskResult], context: PostprocessContext
    ) -> Any:
        pixels = output * np.float32(self.scale / factor(self.in_unit, context.camera, output.shape[-1]))
        return super().postprocess(pixels, scene, replace(context, sigmas={}))


class UnitDepth(_InUnit, Depth):
    """Inverse depth in a unit."""


class UnitInstance(_InUnit, Instance):
    """Vectors to centroids in a unit."""

    def __init__(self, unit: Unit = "px", scale: float = 1.0) -> None:
        super().__init__(unit, scale)
        self.votes = "default"


# The width of the frames and focal length times baseline at that width, to about a tenth, make the scale of a pixel.
_WIDTH: Final = 128
_FOCAL_TIMES_BASELINE: Final = 31.0
LEARNED, CLOSED_FORM = "learned", "closed form"
DEPTH, VECTORS = "multisigma.experiments.units.UnitDepth", "multisigma.experiments.units.UnitInstance"


def _change(task: str, unit: Unit, scale: float) -> dict[str, Any]:
    tasks = ["semantic", VECTORS if task == "instance" else "instance", DEPTH if task == "depth" else "depth"]
    return {"tasks": tasks, "task_options": {task: {"unit": unit, "scale": scale}}}


UNITS: dict[str, dict[str, Any]] = {
    "pixels": {},
    "inverse depth in 1/m": _change("depth", "1/m", 1 / _FOCAL_TIMES_BASELINE),
    "inverse depth in 1/km": _change("depth", "1/km", 1000 / _FOCAL_TIMES_BASELINE),
    "disparity in frame widths": _change("depth", "widths", 1 / _WIDTH),
    "vectors in frame widths": _change("instance", "widths", 1 / _WIDTH),
    "inverse depth in 1/m, the last layer too": _change("depth", "1/m", 1.0),
    "inverse depth in 1/km, the last layer too": _change("depth", "1/km", 1.0),
}


def weightings(study: Study, change: Mapping[str, Any]) -> dict[str, TrainConfig]:
    """Return the weightings under a change of unit; the best of the grid as soon as it is known in pixels."""
    found = {
        "equal": study.config("equal", **change),
        LEARNED: study.config(**change),
        CLOSED_FORM: study.config(options={"closed_form": True}, **change),
    }
    if best := table1.grid_choice(study):
        total = sum(best.values())
        weights = {task: weight / total for task, weight in best.items()}
        found["best of the grid in pixels"] = study.config("fixed", options={"weights": weights}, **change)
    return found


def plan(study: Study) -> list[TrainConfig]:
    configs = [config for change in UNITS.values() for config in weightings(study, change).values()]
    return table1.grid(study) + [replace(c, seed=seed) for seed in range(1, study.seeds + 1) for c in configs]


def page(study: Study) -> Page:
    made = Page("A change of units")
    made.text(
        "The paper's argument: the best weights depend on the units of the losses, so that learned weights spare the "
        "search. Here one task's unit changes, and each weighting stays as it is. Fixed weights are those that a grid "
        "found best in pixels. The numbers are in pixels always. 'The last layer too' means that the network's output "
        "is in the unit itself, so that its last layer must learn numbers of another size at the same learning rate; "
        "in the other rows only the loss changes."
    )
    _, frames = study.frames()
    rows = []
    names = list(weightings(study, {}))
    for name in names:
        base = study.found(study.of_seeds(weightings(study, {})[name]))
        for unit, change in UNITS.items():
            found = study.found(study.of_seeds(weightings(study, change)[name]))
            numbers = [estimate(over_seeds(found, key, frames)) for key in MAIN]
            rows.append([name, unit, *numbers, estimate(gain_over_seeds(found, base, MAIN, frames), 3)])
    made.table(["weighting", "unit", "IoU %", "instance px", "depth px", "mean gain over pixels, %"], rows)
    made.text(
        "Mean gain: over the three tasks, of each seed against the same seed in pixels. Near 0 means that nothing "
        "needs to be chosen anew."
    )
    add_origin(made, "units", study)
    return made
