"""Curves of a training run: loss and noise of each task (figure 7), effective weights, and whatever else was logged."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError

Log = dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]

# Seven hues that stay apart for the colour-blind and are seen on white and on near-black.
PALETTE = ("#3d7fe0", "#e8762d", "#1fa37a", "#b05fd6", "#d64f7f", "#b08d12", "#4aa3b8")
# Stands for the colour of the page's text, which follows the reader's light or dark scheme.
_INK = "#0a0b0c"
_MOST_POINTS = 400
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "legend.frameon": False,
} | dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK)


def read_log(run: Path) -> Log:
    """Read what a run logged, over all its starts.

    Each start of the training writes RUN/logs/csv/<its first iteration>/metrics.csv. What an earlier start logged
    from a later start's first iteration on was trained anew, and the later start's rows stand for it.

    Args:
        run: The run folder.

    Returns:
        For each column, in the order of the files, the iterations at which it has a value, increasing, and the values.
        Empty when nothing was logged.

    Raises:
        MultisigmaError: If a file has no column `step`, or a cell is not a number.
    """
    columns: dict[str, dict[int, float]] = {}
    starts = {int(path.parent.name): path for path in run.glob("logs/csv/*/metrics.csv") if path.parent.name.isdigit()}
    for first, path in sorted(starts.items()):
        for values in columns.values():
            for step in [step for step in values if step >= first]:
                del values[step]
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is not None and "step" not in reader.fieldnames:
                raise MultisigmaError(
                    f"{path} should have a column `step`. Found {', '.join(reader.fieldnames)}. "
                    "Remove the file to leave it out."
                )
            for row in reader:
                for name, cell in row.items():
                    if name not in ("step", "epoch") and cell:
                        try:
                            columns.setdefault(name, {})[int(row["step"])] = float(cell)
                        except (TypeError, ValueError):
                            raise MultisigmaError(
                                f"{path}, line {reader.line_num}: cells should be numbers. Found {cell!r} in column "
                                f"`{name}` at step {row['step']!r}. Remove the line to leave it out."
                            ) from None
    log: Log = {}
    for name, values in columns.items():
        if values:
            steps = sorted(values)
            log[name] = (np.array(steps, dtype=np.int64), np.array([values[step] for step in steps]))
    return log


def curve_figure(log: Log, panels: Mapping[str, Sequence[str]], colours: Mapping[str, str]) -> Figure:
    """Draw logged columns over the iterations, panels above each other.

    Training losses are noisy: they show as a pale line with their running mean. A `val/` column shows as points.

    Args:
        log: What `read_log` gave.
        panels: The columns drawn in each panel, by the panel's title.
        colours: The colour of a column by its last part: 'loss/depth', 'sigma/depth' and 'val/loss/depth' share one.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 0.4 + 1.7 * len(panels)), layout="constrained")
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, names) in zip(grid, panels.items(), strict=True):
            axes.set_title(title)
            axes.grid(color=_INK, alpha=0.12, linewidth=0.8)
            several = len({name.rsplit("/", 1)[-1] for name in names}) > 1
            lowest, highest = np.inf, -np.inf
            for name in names:
                task = name.rsplit("/", 1)[-1]
                colour = colours.get(task, PALETTE[0])
                steps, values = _thin(*log[name])
                if name.startswith("val/"):
                    axes.plot(steps, values, "o-", color=_INK, linewidth=1, markersize=3, label="validation")
                elif name.startswith("loss/"):
                    axes.plot(steps, values, color=colour, alpha=0.3, linewidth=1)
                    axes.plot(steps, _running_mean(values), color=colour, linewidth=2, label="training")
                else:
                    axes.plot(steps, values, color=colour, linewidth=2, label=task)
                finite = values[np.isfinite(values)]
                lowest, highest = min(lowest, finite.min(initial=np.inf)), max(highest, finite.max(initial=-np.inf))
            if lowest > 0 and highest / lowest > 10:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest / lowest < 1e3 else (1,)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_locator(NullLocator())
            if several:
                # Room for the legend above curves that may run anywhere.
                axes.margins(y=0.3)
                axes.legend(fontsize=9, loc="upper center", ncols=3, handlelength=1, columnspacing=0.9)
            elif any(name.startswith("val/") for name in names):
                axes.legend(fontsize=9, loc="best", handlelength=1.2, labelspacing=0.3)
        grid[-1].set_xlabel("iteration")
        grid[-1].locator_params(axis="x", nbins=5)
    return figure


def reliability_figure(diagram: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw how often the network is right against how sure it says it is; on the diagonal it is well calibrated.

    Args:
        diagram: By the label of its curve, `probability`, `accuracy` and `share` of each bin, None if it is empty.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=_INK, linewidth=1, linestyle="--")
        for colour, (label, bins) in zip(PALETTE, diagram.items(), strict=False):
            filled = [
                (p, a, s) for p, a, s in zip(bins["probability"], bins["accuracy"], bins["share"], strict=True) if s
            ]
            probability, accuracy, share = np.array(filled, dtype=np.float64).reshape(-1, 3).T
            axes.plot(probability, accuracy, color=colour, linewidth=2, label=label)
            axes.scatter(probability, accuracy, 8 + 150 * share, color=colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share of right pixels")
        axes.grid(color=_INK, alpha=0.12, linewidth=0.8)
        axes.legend(fontsize=9, loc="upper left")
    return figure


def figure_svg(figure: Figure, name: str) -> str:
    """Give a figure as SVG to stand inside a page, whose font and text colour it takes.

    Args:
        figure: The figure.
        name: A name that no other figure of the page has; the same name and figure give the same text.
    """
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "savefig.transparent": True}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


def _thin(steps: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Means over equal shares, so that a long run's page stays small."""
    shares = np.array_split(np.arange(len(steps)), min(len(steps), _MOST_POINTS))
    return np.array([steps[share[-1]] for share in shares]), np.array([values[share].mean() for share in shares])


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred mean over about a twentieth of the curve; shorter at its ends."""
    half = max(len(values) // 40, 1)
    return np.array([values[max(i - half, 0) : i + half + 1].mean() for i in range(len(values))])
