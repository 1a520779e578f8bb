"""The measured tables of the page on point clouds are the measurement."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLUMNS = (
    "training camera's focal length",
    "right focal length",
    "right focal length, height / factor",
    "calibrated with 4 distances",
)


def test_tables() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "other_cameras.json").read_text())
    page = (ROOT / "docs" / "point-clouds.md").read_text()
    for row in measured["focal lengths"]:
        cells = [f"{row[c]['median ratio']:.3f}; {100 * row[c]['mean relative error']:.0f} %" for c in COLUMNS]
        assert f"| {row['factor']:g} | {' | '.join(cells)} |" in page
    for row in measured["points between objects"]["largest angle"]:
        shares = f"{100 * row['removed of them']:.0f} % | {100 * row['of others']:.1f} %"
        assert f"| {row['degrees']:g} | {shares} |" in page
