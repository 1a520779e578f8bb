"""Noise and effective weights over training, for any weighting in any loop; the lower halves of figures 6 and 7."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes, write_text
from multisigma.outputs.curves import PALETTE, Log, curve_figure
from multisigma.weighting import Weighting

History = Sequence[Mapping[str, float]]
"""Rows of `weighting_row`, steps increasing."""

_PANELS = {"sigma": "noise \N{GREEK SMALL LETTER SIGMA}", "weight": "effective weight"}


def weighting_row(step: int, weighting: Weighting) -> dict[str, float]:
    """What a weighting shows at a step, for a log: `step`, `sigma/TASK` and `weight/TASK`.

    Waits for the device. Where the noise is sharded (FSDP) every process must call it.

    Args:
        step: The number of optimiser steps taken.
        weighting: The weighting; one without noise gives weights alone.

    Raises:
        MultisigmaError: A loss has been NaN or infinite.
    """
    shown = {"sigma": weighting.sigma, "weight": weighting.weights}
    return {"step": step} | {f"{kind}/{task}": v for kind, values in shown.items() for task, v in values.items()}


def plot_weighting(history: History) -> Figure:
    """Draw each task's noise, and below it each task's effective weight, over the steps.

    More tasks than there are colours have no legend.

    Args:
        history: Rows of `weighting_row`. A row may lack a column.

    Returns:
        A figure, for `savefig`; it needs no display.

    Raises:
        MultisigmaError: There is no row, a row lacks `step`, or no row has noise or weights.
    """
    log = _columns(history)
    panels = {title: [name for name in log if name.startswith(f"{kind}/")] for kind, title in _PANELS.items()}
    tasks = list(dict.fromkeys(name.split("/", 1)[1] for names in panels.values() for name in names))
    if not tasks:
        raise MultisigmaError(
            f"A history should have columns sigma/TASK or weight/TASK. Found {', '.join(log) or 'none'}. "
            "Make its rows with `weighting_row`."
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
        history: Rows of `weighting_row`.
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
                "`weighting_row`."
            )
        for name, value in row.items():
            if name != "step":
                steps, values = columns.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return {name: (np.array(steps, np.int64), np.array(values, float)) for name, (steps, values) in columns.items()}
