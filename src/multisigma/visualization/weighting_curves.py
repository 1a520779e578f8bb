"""Noise and weights over training, for any weighting in any loop; the lower halves of figures 6 and 7."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes, write_text
from multisigma.visualization.curves import PALETTE, Log, curve_figure

History = Sequence[Mapping[str, float]]
"""Rows `{"step": step} | weighting.log()`, steps increasing."""

_PANELS = {
    "sigma": "noise scale \N{GREEK SMALL LETTER SIGMA}",
    "noise": "noise as the paper plots it, 1 / weight",
    "weight": "weight",
}


def plot_weighting(history: History) -> Figure:
    """Draw each task's sigma, its noise (one over its weight) and its weight over the steps, one below the other.

    More tasks than there are colours have no legend.

    Args:
        history: Rows `{"step": step} | weighting.log()`. A row may lack a column.

    Returns:
        A figure, for `savefig`; it needs no display.

    Raises:
        MultisigmaError: There is no row, a row lacks `step`, or no row has sigma, noise or weights.

    Example:
        >>> import torch
        >>> from multisigma import Laplace, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"depth": Laplace()})
        >>> figure = plot_weighting([{"step": step} | weighting.log() for step in range(2)])
        >>> len(figure.axes)
        3
    """
    log = _columns(history)
    panels = {title: [name for name in log if name.startswith(f"{kind}/")] for kind, title in _PANELS.items()}
    tasks = list(dict.fromkeys(name.split("/", 1)[1] for names in panels.values() for name in names))
    if not tasks:
        raise MultisigmaError(
            f"A history should have columns sigma/TASK, noise/TASK or weight/TASK. Found {', '.join(log) or 'none'}. "
            "Make its rows with `weighting.log()`."
        )
    colours = {task: PALETTE[i % len(PALETTE)] for i, task in enumerate(tasks)}
    figure = curve_figure(log, {title: names for title, names in panels.items() if names}, colours)
    for axes in figure.axes:
        if legend := axes.get_legend():
            legend.remove()
            axes.margins(y=0.05)
    if len(tasks) <= len(PALETTE):
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.25 * -(-len(tasks) // 3))
        lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
        figure.legend(
            handles=[*lines.values()], loc="outside lower center", ncols=3, fontsize=9, frameon=False, handlelength=1
        )
    return figure


def write_weighting(history: History, folder: Path) -> None:
    """Write FOLDER/weighting.csv and FOLDER/weighting.png; each appears whole or not at all.

    Args:
        history: Rows `{"step": step} | weighting.log()`.
        folder: Made if it is not there.

    Raises:
        MultisigmaError: As `plot_weighting` does; or a file cannot be written.
    """
    picture = io.BytesIO()
    plot_weighting(history).savefig(picture, format="png", dpi=200)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(dict.fromkeys(name for row in history for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MultisigmaError(f"{folder}: noise and weights cannot be written there: {error}.") from error
    write_text(folder / "weighting.csv", table.getvalue())
    write_bytes(folder / "weighting.png", picture.getvalue())


def _columns(history: History) -> Log:
    """Steps and values of each column."""
    columns: dict[str, tuple[list[float], list[float]]] = {}
    for number, row in enumerate(history):
        if "step" not in row:
            raise MultisigmaError(
                f"Row {number} of a history should have `step`. Found {', '.join(row) or 'nothing'}. Make rows with "
                '`{"step": step} | weighting.log()`.'
            )
        for name, value in row.items():
            if name != "step":
                steps, values = columns.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return {name: (np.array(steps, np.int64), np.array(values, float)) for name, (steps, values) in columns.items()}
