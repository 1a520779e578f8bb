"""Tables of an evaluation: each number beside its baseline's, by its own unit and direction."""

from io import StringIO
from math import inf, nan
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from multisigma.metrics import Evaluation, Measurement
from multisigma.reports.tables import (
    class_rows,
    metric_rows,
    metrics_table,
    paper_cells,
    paper_table,
    votes_cells,
    votes_table,
    written,
    written_interval,
)


def number(key: str, value: float, unit: str = "px", higher: bool | None = False, **more: Any) -> Measurement:
    return Measurement(key, value, unit, higher, f"What {key} is.", **more)


EVALUATION = Evaluation(
    [
        number("iou_class", 42.0, "%", True, per_class={"road": 90.0, "train": nan, "sky": 0.0}, name="IoU class"),
        number("disparity_rms_px", 4.0, interval=(3.5, 4.75), name="Disparity RMS error"),
        number("surface_normal_error", nan, "°"),
        number("edge_f1_error_px", 0.5, "", True),
        number("instance_endpoint_px", 9.0),
        number("coverage_90", 88.0, "%", None),
    ],
    [
        number("iou_class", 21.0, "%", True, per_class={"road": 45.0, "sky": 10.0}),
        number("disparity_rms_px", 2.0),
        number("edge_f1_error_px", 0.25, "", True),
        number("coverage_90", 99.0, "%", None),
    ],
    provenance={"data": "some [odd] folder", "frames": 24},
)


def shown(table: Table, width: int = 110) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text().splitlines()


def test_rows_follow_the_order_and_the_records_of_the_evaluation() -> None:
    rows = {row.measurement.key: row for row in metric_rows(EVALUATION)}
    assert list(rows) == [m.key for m in EVALUATION.measurements]
    assert [row.name for row in rows.values()] == [
        "IoU class",
        "Disparity RMS error",
        "Surface normal error",
        "Edge f1 error px",
        "Instance endpoint px",
        "Coverage 90",
    ]
    assert (rows["iou_class"].network, rows["iou_class"].baseline) == (42.0, 21.0)
    assert rows["iou_class"].ratio == pytest.approx(2.0)
    assert rows["iou_class"].beats_baseline is True
    assert rows["disparity_rms_px"].beats_baseline is False  # twice the error
    # The record says that higher is better, whatever the key looks like.
    assert rows["edge_f1_error_px"].beats_baseline is True
    assert rows["coverage_90"].beats_baseline is None
    assert rows["instance_endpoint_px"].ratio is rows["instance_endpoint_px"].beats_baseline is None
    assert rows["surface_normal_error"].network is None


def test_classes_without_a_number_have_none() -> None:
    assert [(row.name, row.network, row.baseline) for row in class_rows(EVALUATION)] == [
        ("road", 90.0, 45.0),
        ("train", None, None),
        ("sky", 0.0, 10.0),
    ]
    assert class_rows(Evaluation([])) == metric_rows(Evaluation([])) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (nan, "-"),
        (inf, "∞"),
        (0.0, "0"),
        (0.5224, "0.522"),
        (3.456, "3.46"),
        (62.84, "62.8"),
        (-12.0, "-12.0"),
    ],
)
def test_numbers_are_written_with_three_digits(value: float | None, text: str) -> None:
    assert written(value) == text


def test_intervals_are_written_like_numbers() -> None:
    assert written_interval(EVALUATION["disparity_rms_px"]) == "3.50 to 4.75"
    assert written_interval(EVALUATION["iou_class"]) == "-"


def test_terminal_table_holds_every_row() -> None:
    lines = shown(metrics_table(EVALUATION))
    found = {
        cells[0]: cells[1:] for line in lines if len(cells := [c.strip() for c in line.strip("│").split("│")]) == 6
    }
    assert found["IoU class ↑"] == ["%", "42.0", "-", "21.0", "2.00"]
    assert found["Disparity RMS error ↓"] == ["px", "4.00", "3.50 to 4.75", "2.00", "2.00"]
    assert found["Surface normal error ↓"] == ["°", "-", "-", "-", "-"]
    assert found["Edge f1 error px ↑"] == ["", "0.500", "-", "0.250", "2.00"]
    assert found["Coverage 90"] == ["%", "88.0", "-", "99.0", "0.889"]
    assert found["road ↑"] == ["%", "90.0", "", "45.0", "2.00"]
    assert "data some [odd] folder, frames 24" in lines[-1]


TABLE_2 = {
    "iou_class": 78.5,
    "iiou_class": 57.4,
    "iou_category": 89.9,
    "iiou_category": 77.7,
    "ap": 19.0,
    "ap50": 35.9,
    "ap100m": 30.9,
    "ap50m": nan,
    "disparity_native_error_px": 2.92,
    "disparity_native_rms_px": 5.88,
    "disparity_native_without_sky_error_px": 3.1,
    "disparity_native_without_sky_rms_px": 6.02,
}


def test_the_layout_of_table_2() -> None:
    scene = Evaluation([number(key, value) for key, value in TABLE_2.items()])
    cells = ["78.5", "57.4", "89.9", "77.7", "19.0", "35.9", "30.9", "-", "2.92", "5.88", "3.10", "6.02"]
    assert [cell for columns in paper_cells(scene).values() for cell in columns.values()] == cells
    lines = shown(paper_table(scene), 80)
    assert cells in [line.split() for line in lines]
    text = "\n".join(lines)
    assert "…" not in text
    assert "our reading" in text
    assert "without the sky" in text


def test_instances_by_votes() -> None:
    def measured(ap: float, ap50: float, pq: float) -> list[Measurement]:
        numbers = {"ap": ("AP", ap), "ap50": ("AP50%", ap50), "pq": ("PQ", pq), "sq": ("SQ", 1.0)}
        return [number(key, value, "%", True, name=name) for key, (name, value) in numbers.items()]

    by_votes = {"default": measured(30.0, 50.0, 40.0), "paper": measured(20.0, 45.0, nan)}
    evaluation = Evaluation([], by_votes=by_votes)
    assert votes_cells(evaluation)["default"] == {"AP": "30.0", "AP50%": "50.0", "PQ": "40.0"}
    assert ["paper", "20.0", "45.0", "-"] in [line.split() for line in shown(votes_table(evaluation), 80)]
    assert votes_cells(EVALUATION) == {}
