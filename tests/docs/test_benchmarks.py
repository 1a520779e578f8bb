"""The page of benchmarks is what its command writes from the results that are stored."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_of_the_results() -> None:
    benchmarks = runpy.run_path(str(ROOT / "benchmarks" / "run.py"))
    expected = benchmarks["page"](ROOT / "benchmarks" / "results")
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == expected
    for program, _ in benchmarks["BENCHMARKS"].values():
        assert (ROOT / "benchmarks" / program[0]).is_file()
