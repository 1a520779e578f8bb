"""Noise over a training: as it was learned, and as the closed form gives it for the running loss."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from multisigma.experiments.plots import COLOURS, curve, running_mean
from multisigma.experiments.results import Result
from multisigma.tasks import load_tasks
from multisigma.training.weightings import make_weighting
from multisigma.weighting import UncertaintyWeighting


def learned_noise(result: Result, task: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return iterations and noise, 1 / weight, which is what the paper's figures plot."""
    steps, weights = curve(result, f"weight/{task}")
    return steps, 1 / np.maximum(weights, 1e-30)


def optimal_noise(result: Result) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return iterations and the noise that minimises the objective for the running mean of each loss, by task.

    Empty unless the weighting is uncertainty weighting; without the tasks whose likelihood has no closed form.
    """
    tasks = load_tasks(result.config.tasks.values, result.config.task_options)
    weighting = make_weighting(result.config, tasks)
    if not isinstance(weighting, UncertaintyWeighting):
        return {}
    curves = {task: curve(result, f"loss/{task}") for task in weighting.tasks}
    if not all(len(steps) for steps, _ in curves.values()):
        return {}
    means = torch.tensor(np.stack([running_mean(values) for _, values in curves.values()], 1), dtype=torch.float32)
    optima = [weighting.optimum(row) for row in means]
    noise = 1 / torch.stack([weighting.weight(optimum) for optimum in optima]).numpy()
    return {
        task: (curves[task][0], noise[:, i]) for i, task in enumerate(weighting.tasks) if np.isfinite(noise[:, i]).all()
    }


def plot_noise(axis: Axes, result: Result, task: str, label: str) -> None:
    """Plot a task's learned noise, and dashed the closed form's where there is one."""
    axis.plot(*learned_noise(result, task), color=COLOURS[task], label=label)
    if task in (optimal := optimal_noise(result)):
        axis.plot(*optimal[task], "k--", linewidth=1, label="optimum for the running loss")
    axis.set_yscale("log")


def distance_from_optimum(result: Result, task: str, share: float = 0.1) -> float:
    """Return by which factor learned and optimal noise differ at most over the last share of the training; nan without
    an optimum."""
    optimal = optimal_noise(result).get(task)
    if optimal is None:
        return float("nan")
    last = max(1, round(share * len(optimal[1])))
    ratio = np.abs(np.log(learned_noise(result, task)[1][-last:] / optimal[1][-last:]))
    return float(np.exp(ratio.max()))
