"""The evaluation as tables: each metric of the network beside a trivial predictor's."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rich.markup import escape
from rich.table import Table

# By the last part of the metric's name: what is written for it, and how it is defined.
_KINDS = {
    "error_px": (
        "mean error",
        "Mean absolute error in pixels at the evaluated size, over every labelled value of all frames; of vectors, per "
        "component (x and y count as two values).",
    ),
    "rms_px": (
        "RMS error",
        "Root of the mean squared error in pixels, over the same values as the mean error; large errors weigh more.",
    ),
    "endpoint_px": (
        "end-point error",
        "Mean Euclidean distance in pixels between the predicted and the true end of a vector, over labelled pixels.",
    ),
}
_IOU = (
    "Intersection over union, TP / (TP + FP + FN), from pixels counted over all frames together; the mean over classes "
    "that occur, as the Cityscapes scripts compute it."
)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of an evaluation, ready to be shown.

    Args:
        key: Its key in metrics.json.
        name: Its name for people.
        unit: '%' or 'px' or nothing; values are already in this unit.
        definition: How the number is defined; empty if this is not known.
        higher_is_better: Whether a larger value is the better one.
        network: The network's value; None if it was not measured.
        trivial: The trivial predictor's value; None if it was not measured.
    """

    key: str
    name: str
    unit: str
    definition: str
    higher_is_better: bool
    network: float | None
    trivial: float | None

    @property
    def ratio(self) -> float | None:
        """The network's value over the trivial predictor's; None where undefined."""
        if self.network is None or self.trivial is None or self.trivial == 0:
            return None
        return self.network / self.trivial

    @property
    def beats_trivial(self) -> bool | None:
        """Whether the network is the better of the two; None if either was not measured."""
        if self.network is None or self.trivial is None:
            return None
        return self.network > self.trivial if self.higher_is_better else self.network < self.trivial


def metric_rows(metrics: Mapping[str, Any]) -> list[MetricRow]:
    """The numbers of an evaluation in the order of the file.

    Args:
        metrics: The content of metrics.json. A key is a metric if it names an IoU, ends with `_px`, or has a value for
            the trivial predictor too.
    """
    trivial = metrics.get("trivial") or {}
    rows = []
    for key, value in metrics.items():
        if not (value is None or _is_number(value)) or not (
            key in trivial or key.startswith("iou") or key.endswith("_px")
        ):
            continue
        if key.startswith("iou"):
            name, unit, definition, scale = "IoU " + key.removeprefix("iou_").replace("_", " "), "%", _IOU, 100.0
        else:
            subject, _, kind = key.removesuffix("_px").rpartition("_")
            described, definition = _KINDS.get(f"{kind}_px", (kind, ""))
            name = f"{subject.replace('_', ' ')} {described}".strip()
            name = name[:1].upper() + name[1:]
            unit, scale = "px" if key.endswith("_px") else "", 1.0
        rows.append(
            MetricRow(
                key=key,
                name=name,
                unit=unit,
                definition=definition,
                higher_is_better=key.startswith("iou"),
                network=_scaled(value, scale),
                trivial=_scaled(trivial.get(key), scale),
            )
        )
    return rows


def class_rows(metrics: Mapping[str, Any]) -> list[MetricRow]:
    """The IoU of each class, in per cent, in the order of the file."""
    trivial = (metrics.get("trivial") or {}).get("iou_per_class") or {}
    return [
        MetricRow(name, name, "%", _IOU, True, _scaled(value, 100.0), _scaled(trivial.get(name), 100.0))
        for name, value in (metrics.get("iou_per_class") or {}).items()
    ]


def written(value: float | None) -> str:
    """A number for a table with three to four digits; a dash for none."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The evaluation as a table for the terminal: every metric, then the IoU of each class.

    Args:
        metrics: The content of metrics.json.
    """
    described = ", ".join(
        f"{key} {metrics[key]}" for key in ("data", "split", "frames") if metrics.get(key) is not None
    )
    table = Table(title="Evaluation", caption=escape(described) or None, title_justify="left", caption_justify="left")
    table.add_column("metric")
    table.add_column("unit")
    for heading in ("network", "trivial", "ratio"):
        table.add_column(heading, justify="right")
    for rows in (metric_rows(metrics), class_rows(metrics)):
        for row in rows:
            style = {True: "green", False: "red", None: "dim"}[row.beats_trivial]
            ratio = f"[{style}]{written(row.ratio)}[/]"
            arrow = "↑" if row.higher_is_better else "↓"
            table.add_row(f"{escape(row.name)} {arrow}", row.unit, written(row.network), written(row.trivial), ratio)
        table.add_section()
    return table


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(value: Any, scale: float) -> float | None:
    """The value in its unit; not-a-number means that it was not measured."""
    return float(value) * scale if _is_number(value) and isfinite(value) else None
