"""Each experiment: its plan ends, its page is made, and its runs run."""

import importlib
from pathlib import Path

import pytest
import torch

from multisigma.cli import main
from multisigma.cli.experiment import EXPERIMENTS
from multisigma.experiments import study as study_module
from multisigma.experiments.execute import execute, hash_of_data
from multisigma.experiments.gradients import GradientProbe
from multisigma.experiments.study import Study, work
from multisigma.synthetic import generate
from multisigma.training.train import train
from tests.experiments.fakes import write_fake


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 4, 4, 64, 128, seed=0, processes=1, samples_page=False)
    return path


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all experiments share."""
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_from_made_up_results(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "execute", write_fake)
    experiment = importlib.import_module(f"multisigma.experiments.{name}")
    (tmp_path / "runs").mkdir()
    work(experiment, Study(tmp_path, "cpu", 2, "data"))
    assert main(["experiment", name, "--out", str(tmp_path), "--budget", "cpu", "--seeds", "2"]) == 0
    page = (tmp_path / f"{name}.md").read_text()
    assert f"multisigma experiment {name} --data ROOT --out DIR --budget cpu --seeds 2" in page
    assert "nan" not in page
    for line in page.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.split("](")[1].rstrip(")")).is_file()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_without_results(name: str, tmp_path: Path) -> None:
    assert main(["experiment", name, "--out", str(tmp_path), "--budget", "cpu"]) == 0
    assert (tmp_path / f"{name}.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_smoke(name: str, root: Path, smoke: Path) -> None:
    options = ["--data", str(root), "--out", str(smoke), "--budget", "smoke", "--seeds", "1"]
    assert main(["experiment", name, *options]) == 0
    assert "All runs agree" in (smoke / f"{name}.md").read_text()


def test_a_run(root: Path, tmp_path: Path) -> None:
    config = Study(tmp_path, "smoke", 1, str(root)).config()
    result = execute(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(result.frames) == 4
    assert {m.key: m.value for m in result.measurements}["disparity_error_px"] == pytest.approx(
        result.value("disparity_error_px", result.frames)
    )
    assert list(result.counts) == ["semantic", "instance", "depth"]
    assert [row["step"] for row in result.gradients] == [0, 1, 2]
    for row in result.gradients:
        whole = row["norm/all/depth"] ** 2
        parts = [value**2 for key, value in row.items() if key.endswith("/depth") and key.startswith("norm/")]
        assert sum(parts) == pytest.approx(2 * whole, rel=1e-3)
        assert -1 <= row["cosine/all/semantic/depth"] <= 1


def test_the_probe_changes_nothing(root: Path, tmp_path: Path) -> None:
    config = Study(tmp_path, "smoke", 1, str(root)).config()
    states = []
    for name, callbacks in (("without", []), ("with", [GradientProbe(config.iterations)])):
        module = train(config, tmp_path / name, callbacks=callbacks)
        states.append(module.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_a_diverged_run_is_a_result(root: Path, tmp_path: Path) -> None:
    study = Study(tmp_path, "smoke", 1, str(root))
    result = execute(study.config("equal", learning_rate=1e30), tmp_path / "run")
    assert result.failure
    assert "finite" in result.failure
    assert not result.counts


def test_data_are_known_by_their_content(root: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(root), str(tmp_path / "packed"), "--packed"]) == 0
    assert hash_of_data(str(tmp_path / "packed")) == hash_of_data(str(root))
    generate(tmp_path / "other", 4, 4, 64, 128, seed=1, processes=1, samples_page=False)
    assert hash_of_data(str(tmp_path / "other")) != hash_of_data(str(root))
