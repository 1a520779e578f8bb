"""A few hundred damaged files of each kind; `python -m tests.fuzz.run` reads as many as you like."""

import sys
from pathlib import Path

import pytest

from tests.fuzz.run import fuzz
from tests.fuzz.targets import Target, targets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits by signals")
NAMES = (
    *("png", "photographs", "arrays", "cameras", "cityscapes", "yaml data", "packed", "predictions"),
    *("configuration", "model info", "evaluation", "model", "checkpoint", "resume"),
)


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("corpus"))


def test_every_target_is_tested(all_targets: dict[str, Target]) -> None:
    assert tuple(all_targets) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_give_an_error_or_a_result(all_targets: dict[str, Target], tmp_path: Path, name: str) -> None:
    assert fuzz(name, all_targets[name], tmp_path, cases=6 if name == "resume" else 120, seed=0) == []
