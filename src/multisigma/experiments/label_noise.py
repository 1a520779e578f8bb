"""Noise added to one task's labels: does its learned noise follow, and are the other tasks protected?"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from multisigma.datasets.frame import Frame
from multisigma.datasets.labels import IGNORE
from multisigma.errors import MultisigmaError
from multisigma.experiments.comparison import GAINS, MAIN, paired_gains
from multisigma.experiments.page import Page, add_origin, estimate
from multisigma.experiments.plots import COLOURS, legend, panels
from multisigma.experiments.results import Result
from multisigma.experiments.statistics import over_seeds, t_interval
from multisigma.experiments.study import TASKS, Study
from multisigma.metrics.regression import TargetOf
from multisigma.tasks import Depth, Semantic
from multisigma.training.config import TrainConfig

SEEDS = 3
_HERE = "multisigma.experiments.label_noise"


class NoisyDepth(Depth):
    """Disparity whose labels have Laplace noise; a frame's noise is the same each time. Metrics see the true labels.

    Args:
        scale: Scale of the noise in pixels, its mean absolute value.

    Raises:
        MultisigmaError: The scale is negative or not finite.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not 0 <= scale < math.inf:
            raise MultisigmaError(f"Parameter `scale` must be finite and not negative. Found {scale}.")
        self.scale = scale

    def target(self, frame: Frame) -> Tensor:
        target = super().target(frame)
        uniform = torch.rand(target.shape, generator=_generator(target)) - 0.5
        # The inverse of the distribution function.
        return target - self.scale * uniform.sign() * torch.log1p(-2 * uniform.abs().clamp(max=0.4999999))

    def true_values(self) -> TargetOf:
        true = super().target
        return lru_cache(maxsize=1)(lambda frame: true(frame).numpy())


class NoisySemantic(Semantic):
    """Classes of which a share is drawn at random, the same each time for a frame. Metrics see the true labels.

    Args:
        share: Share of the labelled pixels.

    Raises:
        MultisigmaError: The share is no share.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise MultisigmaError(f"Parameter `share` must be from 0 to 1. Found {share}.")
        self.share = share

    def target(self, frame: Frame) -> Tensor:
        target = super().target(frame)
        generator = _generator(target)
        drawn = torch.randint(0, len(frame.labels.train_classes), target.shape, generator=generator, dtype=torch.uint8)
        is_noisy = (torch.rand(target.shape, generator=generator) < self.share) & (target != IGNORE)
        return drawn.where(is_noisy, target)


def _generator(target: Tensor) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(target.numpy().tobytes()))


def _change(task: str, **options: float) -> dict[str, Any]:
    noisy = f"{_HERE}.Noisy{task.capitalize()}"
    return {"tasks": [noisy if name == task else name for name in TASKS], "task_options": {task: options}}


LEVELS: dict[str, dict[str, Any]] = {
    "none": {},
    "depth, 0.5 px": _change("depth", scale=0.5),
    "depth, 1 px": _change("depth", scale=1.0),
    "depth, 2 px": _change("depth", scale=2.0),
    "semantic, 10 %": _change("semantic", share=0.1),
    "semantic, 30 %": _change("semantic", share=0.3),
}
WEIGHTINGS = {"equal weights": "equal", "learned weights": "uncertainty"}


def runs(study: Study, weighting: str, level: str) -> list[TrainConfig]:
    """Return the runs of a weighting at a level of noise."""
    return study.of_seeds(study.config(WEIGHTINGS[weighting], **LEVELS[level]))


def plan(study: Study) -> list[TrainConfig]:
    configs = [config for weighting in WEIGHTINGS for level in LEVELS for config in runs(study, weighting, level)]
    return sorted(configs, key=lambda config: config.seed)


def page(study: Study) -> Page:
    made = Page("Label noise")
    made.text(
        "Noise is added to the labels of one task in training. A homoscedastic noise should grow by it, and so take "
        "weight from that task. All numbers are against the true labels."
    )
    _, frames = study.frames()
    rows = []
    for weighting in WEIGHTINGS:
        for level in LEVELS:
            found = study.found(runs(study, weighting, level))
            numbers = [estimate(over_seeds(found, key, frames)) for key in MAIN]
            rows.append([weighting, level, *numbers, *(estimate(_noise(found, task), 3) for task in TASKS)])
    noises = [f"noise {task}" for task in TASKS]
    made.table(["weighting", "noise added to", "IoU %", "instance px", "depth px", *noises], rows)
    made.text("Noise: 1 / weight at the end of the training.")
    made.heading("What the noise costs")
    rows = []
    for name in WEIGHTINGS:
        clean_runs = study.found(runs(study, name, "none"))
        for level in LEVELS:
            if level != "none":
                rows.append([name, level, *paired_gains(study.found(runs(study, name, level)), clean_runs, frames)])
    made.table(["weighting", "noise added to", *GAINS], rows)
    made.text("Gain over the same weighting without added noise, paired by seed; positive is better.")
    figure, axes = panels(["learned sigma of depth, px"], 1)
    levels = [level for level in LEVELS if level == "none" or level.startswith("depth")]
    added = [LEVELS[level].get("task_options", {}).get("depth", {}).get("scale", 0.0) for level in levels]
    values = [_noise(study.found(runs(study, "learned weights", level)), "depth").mean for level in levels]
    axes[0].plot(added, values, "o-", color=COLOURS["depth"], label="learned")
    # The scale of independent Laplace noise alone, were the network's own errors to stay as they are without it.
    clean = values[0]
    axes[0].plot(added, [_mean_of_sum(clean, scale) for scale in added], "k--", label="if its errors stay the same")
    axes[0].set_xlabel("scale of the noise added to depth, px")
    legend(axes[0])
    made.plot(
        "sigma",
        figure,
        "The learned scale of depth against the added one. Dashed: the mean absolute value of the sum of two Laplace "
        "variables, with the scale learned without noise and the added scale.",
    )
    add_origin(made, "label_noise", study)
    return made


def _noise(results: Sequence[Result], task: str) -> Any:
    return t_interval([1 / result.last(f"weight/{task}") for result in results])


def _mean_of_sum(first: float, second: float) -> float:
    """Return the mean absolute value of the sum of two independent Laplace variables of given scales."""
    return (first**2 + first * second + second**2) / (first + second) if first + second else 0.0
