"""A few of the kills of `python -m tests.chaos.run`."""

from pathlib import Path

import pytest

from tests.chaos.jobs import JOBS
from tests.chaos.run import run

FAST = {"folders": 3, "checkpoints": 6, "packing": 2}


@pytest.mark.parametrize("name", FAST)
def test_a_killed_job_goes_on_exactly(tmp_path: Path, name: str) -> None:
    assert run(name, FAST[name], 0, tmp_path) == FAST[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_many_kills(tmp_path: Path, name: str) -> None:
    assert run(name, 10, 1, tmp_path) == 10
