"""Facts that several files of the project state are the same in all."""

import re
import tomllib
from pathlib import Path

import yaml

import multisigma

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    assert {PROJECT["version"], citation["version"], heading[1]} == {multisigma.__version__}


def test_workflows_are_yaml_and_test_the_lowest_python() -> None:
    lowest = PROJECT["requires-python"].removeprefix(">=")
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"], path
    test = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert lowest in test["jobs"]["test"]["strategy"]["matrix"]["python"]
    # The bare job names the lowest torch.
    (torch,) = PROJECT["dependencies"]
    assert test["jobs"]["bare"]["strategy"]["matrix"]["torch"][0].startswith(torch.replace("torch>=", "=="))
