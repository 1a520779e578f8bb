"""The evaluation as rows and as a terminal table."""

from io import StringIO
from math import nan
from typing import Any

import pytest
from rich.console import Console

from multisigma.reports.tables import (
    class_rows,
    metric_rows,
    metrics_table,
    paper_cells,
    paper_table,
    votes_cells,
    votes_table,
    written,
)

METRICS: dict[str, Any] = {
    "iou_class": 0.42,
    "disparity_rms_px": 4.0,
    "surface_normal_error_px": None,
    "edge_f1": 0.5,
    "instance_endpoint_px": 9.0,
    "iou_per_class": {"road": 0.9, "traffic light": nan, "train": None, "sky": 0.0},
    "baseline": {
        "iou_class": 0.21,
        "disparity_rms_px": 2.0,
        "edge_f1": 0.0,
        "iou_per_class": {"road": 0.45, "sky": 0.1},
    },
    "data": "some [odd] folder",
    "frames": 24,
    "amp": True,
}


def test_rows_follow_the_keys_of_the_file() -> None:
    rows = {row.key: row for row in metric_rows(METRICS)}
    assert list(rows) == ["iou_class", "disparity_rms_px", "surface_normal_error_px", "edge_f1", "instance_endpoint_px"]
    assert [row.name for row in rows.values()] == [
        "IoU class",
        "Disparity RMS error",
        "Surface normal mean error",
        "Edge f1",
        "Instance end-point error",
    ]
    assert [row.unit for row in rows.values()] == ["%", "px", "px", "", "px"]
    assert (rows["iou_class"].network, rows["iou_class"].baseline) == (42.0, 21.0)
    assert rows["iou_class"].ratio == pytest.approx(2.0)
    assert rows["iou_class"].beats_baseline is True
    assert rows["disparity_rms_px"].beats_baseline is False  # twice the error
    assert rows["edge_f1"].ratio is None  # over zero
    assert rows["instance_endpoint_px"].ratio is rows["instance_endpoint_px"].beats_baseline is None
    assert rows["surface_normal_error_px"].network is None


def test_classes_without_iou_have_no_number() -> None:
    assert [(row.name, row.network, row.baseline) for row in class_rows(METRICS)] == [
        ("road", 90.0, 45.0),
        ("traffic light", None, None),
        ("train", None, None),
        ("sky", 0.0, 10.0),
    ]
    assert class_rows({}) == metric_rows({}) == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0"), (0.5224, "0.522"), (3.456, "3.46"), (62.84, "62.8"), (-12.0, "-12.0")]
)
def test_numbers_are_written_with_three_digits(value: float | None, text: str) -> None:
    assert written(value) == text


def test_terminal_table_holds_every_row() -> None:
    console = Console(width=100, record=True, file=StringIO())
    console.print(metrics_table(METRICS))
    lines = console.export_text().splitlines()
    found = {
        cells[0]: cells[1:] for line in lines if len(cells := [c.strip() for c in line.strip("│").split("│")]) == 5
    }
    assert found["IoU class ↑"] == ["%", "42.0", "21.0", "2.00"]
    assert found["Disparity RMS error ↓"] == ["px", "4.00", "2.00", "2.00"]
    assert found["Surface normal mean error ↓"] == ["px", "-", "-", "-"]
    assert found["road ↑"] == ["%", "90.0", "45.0", "2.00"]
    assert "data some [odd] folder, frames 24" in lines[-1]


SCENE: dict[str, Any] = {
    "iou_class": 0.785,
    "iiou_class": 0.574,
    "iou_category": 0.899,
    "iiou_category": 0.777,
    "ap": 0.19,
    "ap50": 0.359,
    "ap100m": 0.309,
    "ap50m": None,
    "disparity_native_error_px": 2.92,
    "disparity_native_rms_px": 5.88,
    "disparity_native_without_sky_error_px": 3.1,
    "disparity_native_without_sky_rms_px": 6.02,
    "semantic_ece": 0.021,
    "depth_coverage_90": 0.87,
    "depth_rmse_m": 7.5,
    "semantic_reliability": {"none": {}},
    "notes": {"ap100m": "a reading"},
}


def test_the_layout_of_table_2() -> None:
    cells = paper_cells(SCENE)
    assert [list(columns.values()) for columns in cells.values()] == [
        ["78.5", "57.4", "89.9", "77.7"],
        ["19.0", "35.9", "30.9", "-"],
        ["2.92", "5.88", "3.10", "6.02"],
    ]
    console = Console(width=80, record=True, file=StringIO())
    console.print(paper_table(SCENE))
    text = console.export_text()
    assert ["78.5", "57.4", "89.9", "77.7", "19.0", "35.9", "30.9", "-", "2.92", "5.88", "3.10", "6.02"] in [
        line.split() for line in text.splitlines()
    ]
    assert "…" not in text
    assert "our reading" in text
    assert "without the sky" in text


def test_instances_by_votes() -> None:
    by_votes = {"default": {"ap": 0.3, "ap50": 0.5, "pq": 0.4}, "paper": {"ap": 0.2, "ap50": 0.45, "pq": None}}
    cells = votes_cells(SCENE | {"by_votes": by_votes})
    assert list(cells) == ["default", "paper"]
    assert list(cells["default"].values()) == ["30.0", "50.0", "-", "-", "40.0", "-"]
    console = Console(width=80, record=True, file=StringIO())
    console.print(votes_table(SCENE | {"by_votes": by_votes}))
    rows = [line.split() for line in console.export_text().splitlines()]
    assert ["paper", "20.0", "45.0", "-", "-", "-", "-"] in rows
    assert votes_cells(SCENE) == {}


def test_metrics_of_scenes_and_calibration_have_names_units_and_definitions() -> None:
    rows = {row.key: row for row in metric_rows(SCENE)}
    assert rows.keys() == SCENE.keys() - {"semantic_reliability", "notes"}
    assert (rows["iiou_class"].name, rows["iiou_class"].unit, rows["iiou_class"].network) == ("iIoU class", "%", 57.4)
    assert (rows["depth_rmse_m"].unit, rows["depth_rmse_m"].network, rows["depth_rmse_m"].arrow) == ("m", 7.5, "↓")
    coverage = rows["depth_coverage_90"]
    assert (coverage.name, coverage.network, coverage.arrow) == ("Depth within the 90 % interval", 87.0, "")
    assert all(row.definition for row in rows.values())
