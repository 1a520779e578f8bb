"""Plots of experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from multisigma.experiments.results import Result
from multisigma.visualization.curves import PALETTE

COLOURS: Mapping[str, str] = dict(zip(("semantic", "instance", "depth"), PALETTE, strict=False))


def panels(titles: Sequence[str], columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each title."""
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(4.0 * min(columns, len(titles)), 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, min(columns, len(titles)), squeeze=False).ravel().tolist()
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.2)
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    return figure, axes


def curve(result: Result, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return iterations and values of a logged column; empty without it."""
    steps, values = result.curves.get(column, ((), ()))
    return np.asarray(steps, np.float64), np.asarray(values, np.float64)


def running_mean(values: NDArray[np.float64], decay: float = 0.9) -> NDArray[np.float64]:
    """Return the exponential running mean of a curve, without the bias of its start."""
    total, weight, means = 0.0, 0.0, []
    for value in values.tolist():
        total, weight = decay * total + (1 - decay) * value, decay * weight + 1 - decay
        means.append(total / weight)
    return np.array(means)


def legend(axis: Axes, **options: Any) -> None:
    """Add a legend if there is anything to name."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, frameon=False, **options)
