"""The evaluation as tables: each metric of the network beside its baseline's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

_IOU = (
    "Intersection over union, TP / (TP + FP + FN), from pixels counted over all frames together; the mean over classes "
    "or categories that occur, as the Cityscapes scripts compute it."
)
_IIOU = (
    "IoU with each true pixel weighted by its class's average instance size over its instance's size, as the "
    "Cityscapes scripts compute it: small objects count as much as large ones."
)
_AP = (
    "Average precision of instances by the rules of the Cityscapes scripts: the mean over classes and over overlaps "
    "from 50 to 95 % (AP50%: above 50 % alone). AP100m and AP50m count true instances of at least 1000 px within that "
    "distance, which is the median over their pixels with a valid disparity, at least half of all: our reading of a "
    "rule that the public scripts leave open."
)
_PQ = (
    "Panoptic quality, by the rules of the Cityscapes scripts: PQ, the product of SQ, the mean overlap of matched "
    "segments, and RQ, the share of segments that are matched; the mean over classes that occur."
)
_NATIVE = (
    "Disparity errors times 2048 / width: what they would be in pixels at Cityscapes' own size; with the sky as zero, "
    "and without the sky. Table 2 of the paper does not say which it has."
)
_LAND = (
    "Disparity errors without the sky, whose true disparity counts as zero otherwise; over the frames with label ids, "
    "which tell what is sky."
)
_DEPTH = (
    "Depth in metres from baseline, focal length and disparity, over pixels of at most 80 m: absolute error over the "
    "true depth, root of the mean squared error, and the share of pixels whose ratio to the true depth is below 1.25, "
    "1.25² and 1.25³."
)
_ECE = (
    "Expected calibration error: how far the highest class probability lies from the share of right pixels, on average "
    "over 15 bins; plain, and with the logits divided by the learned temperature σ²."
)
_VECTOR = (
    "Of the vectors from pixels to their instance's centroid, over the pixels of instances: mean error is the mean L1 "
    "norm |dx| + |dy|, the training loss and the error of table 1; mean component error is half of it; end-point error "
    "is the mean length of the error."
)
_COVERAGE = (
    "Share of the true values within the interval that the learned Laplace noise implies around the output. Well "
    "calibrated is the level itself; more is cautious, less is overconfident."
)
# Name, unit, whether higher is better, and definition of each metric with a fixed key.
_SCENE: dict[str, tuple[str, str, bool | None, str]] = {
    "iou_class": ("IoU class", "%", True, _IOU),
    "iiou_class": ("iIoU class", "%", True, _IIOU),
    "iou_category": ("IoU category", "%", True, _IOU),
    "iiou_category": ("iIoU category", "%", True, _IIOU),
    "ap": ("AP", "%", True, _AP),
    "ap50": ("AP50%", "%", True, _AP),
    "ap100m": ("AP100m*", "%", True, _AP),
    "ap50m": ("AP50m*", "%", True, _AP),
    "pq": ("PQ", "%", True, _PQ),
    "sq": ("SQ", "%", True, _PQ),
    "rq": ("RQ", "%", True, _PQ),
    "pq_things": ("PQ things", "%", True, _PQ),
    "pq_stuff": ("PQ stuff", "%", True, _PQ),
    "instance_error_px": ("Instance mean error", "px", False, _VECTOR),
    "instance_component_error_px": ("Instance mean component error", "px", False, _VECTOR),
    "instance_endpoint_px": ("Instance end-point error", "px", False, _VECTOR),
    "disparity_without_sky_error_px": ("Disparity mean error without sky", "px", False, _LAND),
    "disparity_without_sky_rms_px": ("Disparity RMS error without sky", "px", False, _LAND),
    "disparity_native_error_px": ("Disparity mean error at 2048 px", "px", False, _NATIVE),
    "disparity_native_rms_px": ("Disparity RMS error at 2048 px", "px", False, _NATIVE),
    "disparity_native_without_sky_error_px": ("Disparity mean error at 2048 px without sky", "px", False, _NATIVE),
    "disparity_native_without_sky_rms_px": ("Disparity RMS error at 2048 px without sky", "px", False, _NATIVE),
    "depth_abs_rel": ("Depth absolute relative error", "%", False, _DEPTH),
    "depth_rmse_m": ("Depth RMSE", "m", False, _DEPTH),
    "depth_delta_1": ("Depth within 1.25", "%", True, _DEPTH),
    "depth_delta_2": ("Depth within 1.25²", "%", True, _DEPTH),
    "depth_delta_3": ("Depth within 1.25³", "%", True, _DEPTH),
    "semantic_ece": ("Semantic calibration error", "%", False, _ECE),
    "semantic_ece_temperature": ("Semantic calibration error with σ²", "%", False, _ECE),
}
# Its heading in two lines, and the key of each column.
_TABLE_2 = {
    "Semantic segmentation, %": {
        "IoU\nclass": "iou_class",
        "iIoU\nclass": "iiou_class",
        "IoU\ncat.": "iou_category",
        "iIoU\ncat.": "iiou_category",
    },
    "Instance segmentation, %": {"AP": "ap", "AP\n50%": "ap50", "AP\n100m*": "ap100m", "AP\n50m*": "ap50m"},
    "Disparity error, px": {
        "mean\npx": "disparity_native_error_px",
        "RMS\npx": "disparity_native_rms_px",
        "mean\npx†": "disparity_native_without_sky_error_px",
        "RMS\npx†": "disparity_native_without_sky_rms_px",
    },
}
TABLE_2_NOTE = (
    "* by distance: our reading of a rule that the public scripts leave open. Disparity in px at a width of 2048, the "
    "sky as zero; † without the sky. The paper does not say which of the two it has."
)
_BY_VOTES = ("ap", "ap50", "ap100m", "ap50m", "pq", "pq_things")
VOTES_NOTE = (
    "default: each class clustered by itself; paper: all classes together, a plain cut, each pixel to the nearest "
    "centre. * by distance, as in table 2."
)
# By the last part of the metric's name: what is written for it, and how it is defined.
_KINDS = {
    "error_px": (
        "mean error",
        "Mean absolute error in pixels at the evaluated size, over every labelled value of all frames.",
    ),
    "rms_px": (
        "RMS error",
        "Root of the mean squared error in pixels, over the same values as the mean error; large errors weigh more.",
    ),
}
_COVERAGE_KEY = re.compile(r"(?P<task>.+)_coverage_(?P<level>\d+)")


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of an evaluation, ready to be shown.

    Args:
        key: Its key in metrics.json.
        name: Its name for people.
        unit: '%', 'px', 'm' or nothing; values are already in this unit.
        definition: How the number is defined; empty if this is not known.
        higher_is_better: Whether a larger value is the better one; None where another value is the best.
        network: The network's value; None if it was not measured.
        baseline: The baseline's value; None if it was not measured.
    """

    key: str
    name: str
    unit: str
    definition: str
    higher_is_better: bool | None
    network: float | None
    baseline: float | None

    @property
    def ratio(self) -> float | None:
        """The network's value over the baseline's; None where undefined."""
        if self.network is None or self.baseline is None or self.baseline == 0:
            return None
        return self.network / self.baseline

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the network is the better of the two; None if either was not measured."""
        if self.network is None or self.baseline is None:
            return None
        return self.network > self.baseline if self.higher_is_better else self.network < self.baseline


def metric_rows(metrics: Mapping[str, Any]) -> list[MetricRow]:
    """The numbers of an evaluation in the order of the file.

    Args:
        metrics: The content of metrics.json. A key is a metric if it is one of a scene or a calibration, ends with
            `_px`, or has a value for the baseline too.
    """
    baseline = metrics.get("baseline") or {}
    rows = []
    for key, value in metrics.items():
        if not (value is None or _is_number(value)):
            continue
        if key in _SCENE:
            name, unit, higher, definition = _SCENE[key]
        elif coverage := _COVERAGE_KEY.fullmatch(key):
            task = coverage["task"].replace("_", " ").capitalize()
            name = f"{task} within the {coverage['level']} % interval"
            unit, higher, definition = "%", None, _COVERAGE
        elif key in baseline or key.endswith("_px"):
            subject, _, kind = key.removesuffix("_px").rpartition("_")
            described, definition = _KINDS.get(f"{kind}_px", (kind, ""))
            name = f"{subject.replace('_', ' ')} {described}".strip()
            name = name[:1].upper() + name[1:]
            unit, higher = "px" if key.endswith("_px") else "", False
        else:
            continue
        scale = 100.0 if unit == "%" else 1.0
        rows.append(
            MetricRow(
                key=key,
                name=name,
                unit=unit,
                definition=definition,
                higher_is_better=higher,
                network=_scaled(value, scale),
                baseline=_scaled(baseline.get(key), scale),
            )
        )
    return rows


def class_rows(metrics: Mapping[str, Any]) -> list[MetricRow]:
    """The IoU of each class, in per cent, in the order of the file."""
    baseline = (metrics.get("baseline") or {}).get("iou_per_class") or {}
    return [
        MetricRow(name, name, "%", _IOU, True, _scaled(value, 100.0), _scaled(baseline.get(name), 100.0))
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
    if labelled := metrics.get("labelled_frames"):
        described += f"; with {', '.join(f'{kind} {count}' for kind, count in labelled.items())}"
    table = Table(title="Evaluation", caption=escape(described) or None, title_justify="left", caption_justify="left")
    table.add_column("metric")
    table.add_column("unit")
    for heading in ("network", "baseline", "ratio"):
        table.add_column(heading, justify="right")
    for rows in (metric_rows(metrics), class_rows(metrics)):
        for row in rows:
            style = {True: "green", False: "red", None: "dim"}[row.beats_baseline]
            ratio = f"[{style}]{written(row.ratio)}[/]"
            table.add_row(
                f"{escape(row.name)} {row.arrow}".strip(), row.unit, written(row.network), written(row.baseline), ratio
            )
        table.add_section()
    return table


def votes_cells(metrics: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Write the numbers of instances by each way from votes to instances.

    Args:
        metrics: The content of metrics.json.

    Returns:
        Number by the name of its metric, by way; empty if instances were not measured.
    """
    return {
        way: {_SCENE[key][0]: written(_scaled(numbers.get(key), 100.0)) for key in _BY_VOTES}
        for way, numbers in (metrics.get("by_votes") or {}).items()
    }


def votes_table(metrics: Mapping[str, Any]) -> Table:
    """Make a terminal table of the numbers of instances, a row for each way from votes to instances.

    Args:
        metrics: The content of metrics.json.
    """
    table = Table(title="Instances by the way from votes, %", caption=VOTES_NOTE, box=SIMPLE)
    table.title_justify = table.caption_justify = "left"
    table.add_column("--votes")
    for heading in (_SCENE[key][0] for key in _BY_VOTES):
        table.add_column(heading, justify="right")
    for way, cells in votes_cells(metrics).items():
        table.add_row(way, *cells.values())
    return table


def paper_cells(metrics: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Write the numbers of table 2 of the paper by the heading of their column, by task.

    The paper has one pair of disparity errors, here two: with and without the sky.

    Args:
        metrics: The content of metrics.json.
    """
    return {
        task: {
            heading: written(_scaled(metrics.get(key), 100.0 if _SCENE[key][1] == "%" else 1.0))
            for heading, key in columns.items()
        }
        for task, columns in _TABLE_2.items()
    }


def paper_table(metrics: Mapping[str, Any]) -> Table:
    """The evaluation in the layout of table 2 of the paper, for the terminal.

    Args:
        metrics: The content of metrics.json.
    """
    table = Table(title="Table 2 of the paper", caption=TABLE_2_NOTE, box=SIMPLE, collapse_padding=True)
    table.title_justify = table.caption_justify = "left"
    cells = {heading: value for columns in paper_cells(metrics).values() for heading, value in columns.items()}
    for heading in cells:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(*cells.values())
    return table


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(value: Any, scale: float) -> float | None:
    """The value in its unit; not-a-number means that it was not measured."""
    return float(value) * scale if _is_number(value) and isfinite(value) else None
