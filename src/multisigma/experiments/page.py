"""Pages of experiments: Markdown with tables, and plots as PNG beside it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from multisigma.files import write_bytes, write_text

if TYPE_CHECKING:
    from multisigma.experiments.study import Study

# Smaller numbers are sums that should be 0.
_ROUNDING = 1e-12


class Page:
    """A page that grows from top to bottom.

    Args:
        title: The title.
    """

    def __init__(self, title: str) -> None:
        self.parts = [f"# {title}"]
        self.plots: dict[str, Figure] = {}

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(text)

    def heading(self, text: str) -> None:
        """Add a heading."""
        self.parts.append(f"## {text}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add a table; the first column is text, the others numbers."""
        lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
        self.parts.append("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines))

    def plot(self, name: str, figure: Figure, caption: str) -> None:
        """Add a plot; its file is named after the page and `name`."""
        self.plots[name] = figure
        self.parts.append(f"![{caption}]({{stem}}-{name}.png)\n\n{caption}")

    def write(self, path: Path) -> None:
        """Write the page and its plots into the folder of the page, which must exist.

        Raises:
            MultisigmaError: A file cannot be written.
        """
        for name, figure in self.plots.items():
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
            write_bytes(path.with_name(f"{path.stem}-{name}.png"), stream.getvalue())
        write_text(path, "\n\n".join(self.parts).replace("{stem}", path.stem) + "\n")


def number(value: float, digits: int = 4) -> str:
    """Return a number with significant digits; a dash for nan, and 0 for what rounding leaves of it.

    Example:
        >>> number(0.52213), number(63.41), number(float("nan")), number(2e-15, 3)
        ('0.5221', '63.41', '-', '0.00')
    """
    if math.isnan(value):
        return "-"
    if abs(value) < _ROUNDING:
        value = 0.0
    return f"{value:#.{digits}g}".rstrip(".") if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.{digits - 1}e}"


def estimate(value: tuple[float, float, float], digits: int = 4) -> str:
    """Return a mean with half its interval, which a single seed does not have."""
    mean, low, high = value
    return number(mean, digits) if math.isnan(low) else f"{number(mean, digits)} ± {number((high - low) / 2, 2)}"


def interval(ends: tuple[float, float]) -> str:
    """Return the ends of an interval."""
    return "-" if math.isnan(ends[0]) else f"{number(ends[0], 3)} to {number(ends[1], 3)}"


def add_origin(page: Page, name: str, study: Study) -> None:
    """Add how the numbers were made, and a warning if the runs differ in code or data."""
    results = study.results
    choose, report = study.frames()
    seconds = [r.provenance["seconds"] for r in results]
    frames = f"{len(report)} validation frames; choices are made on {len(choose)} frames of other cities"
    page.heading("How it was made")
    page.text(
        f"```\nmultisigma experiment {name} --data ROOT --out DIR --budget {study.budget_name} --seeds {study.seeds}"
        f"{'' if study.tuned else ' --protocol paper'}\n"
        f"```\n\nFrom {len(results)} runs, {number(sum(seconds) / 3600, 2)} hours of computing together. "
        f"Budget `{study.budget_name}`: {study.budget.data}, {study.budget.config.iterations} iterations of "
        f"{study.budget.config.batch_size}, encoder {study.budget.config.encoder}. Reported on {frames}. "
        "± is half of a 95 % t interval over seeds."
    )
    if study.seeds < 3:
        page.text("**Exploratory**: fewer than three seeds.")
    failed = [r for r in results if r.failure]
    if failed:
        page.text(f"{len(failed)} runs diverged; they are never chosen and stand in no mean: {_names(failed)}.")
    page.text(_differences({key: _values(results, key) for key in ("code", "data", "torch", "processor", "threads")}))


def _values(results: Sequence[Any], key: str) -> list[str]:
    return sorted({str(result.provenance.get(key)) for result in results})


def _differences(values: Mapping[str, Sequence[str]]) -> str:
    shown = "; ".join(f"{key} {', '.join(found)}" for key, found in values.items())
    differ = [key for key, found in values.items() if len(found) > 1]
    warning = f"**The runs differ in {', '.join(differ)}.** " if differ else "All runs agree in what they ran on. "
    return f"{warning}Hashes and versions: {shown}."


def _names(results: Sequence[Any]) -> str:
    return ", ".join(f"{r.config.weighting} at {r.config.learning_rate:g}, seed {r.config.seed}" for r in results)
