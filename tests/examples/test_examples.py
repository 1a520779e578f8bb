"""Each example runs as it stands, and learns the noise that its data has."""

import ast
import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(folder: Path, example: str, *arguments: str, launcher: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *launcher, str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_sigma(output: str) -> dict[str, float]:
    found: dict[str, float] = ast.literal_eval(re.findall(r"sigma (\{[^}]*\})", output)[-1])
    return found


@pytest.mark.parametrize("tasks", [2, 100])
def test_toy_finds_the_noise_of_every_line(tmp_path: Path, tasks: int) -> None:
    output = run(tmp_path, "toy_two_regressions.py", "--tasks", str(tasks))
    found = re.findall(r"noise (\S+), learned (\S+)", output)
    assert len(found) == tasks
    noise = [float(true) for true, _ in found]
    assert noise == [10, 1] if tasks == 2 else (noise[0], noise[-1]) == (0.1, 10)
    for true, learned in found:
        assert float(learned) == pytest.approx(float(true), rel=0.05)


def test_plain_loop(tmp_path: Path) -> None:
    output = run(tmp_path, "plain_loop.py")
    assert output.count("sigma") == 6
    # The data's noise is 0.5; what the network has not learned comes on top.
    assert 0.5 < last_sigma(output)["height"] < 0.7
    assert not list(tmp_path.iterdir())


def test_lightning_module(tmp_path: Path) -> None:
    output = run(tmp_path, "lightning_module.py", "--out", "here")
    assert last_sigma(output)["distance"] == pytest.approx(0.2, rel=0.15)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "weighting.csv", "weighting.png"]
    with (tmp_path / "here" / "weighting.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(0, 601, 10))
    assert float(rows[0]["sigma/distance"]) == 1


def test_accelerate_loop(tmp_path: Path) -> None:
    sigma = last_sigma(run(tmp_path, "accelerate_loop.py"))
    assert sigma["wave"] < 0.5
    assert sigma["loudness"] < 0.5


@pytest.mark.slow
def test_accelerate_loop_is_the_same_on_two_processes(tmp_path: Path) -> None:
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    two = run(tmp_path, "accelerate_loop.py", launcher=launcher)
    assert last_sigma(two) == pytest.approx(last_sigma(run(tmp_path, "accelerate_loop.py")), rel=1e-5)
