"""Each experiment: its plan ends, its page is made, and its runs run."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from multisigma.cli import main
from multisigma.cli.experiment import EXPERIMENTS
from multisigma.datasets.open import open_dataset
from multisigma.errors import MultisigmaError
from multisigma.experiments import likelihoods, optimum, verdicts
from multisigma.experiments import study as study_module
from multisigma.experiments.budgets import BUDGETS
from multisigma.experiments.execute import execute, hash_of_data
from multisigma.experiments.gradients import GradientProbe
from multisigma.experiments.label_noise import NoisyDepth, NoisySemantic
from multisigma.experiments.likelihoods import ExactSemantic, ExponentialForm, GaussianForm
from multisigma.experiments.optimal_weighting import PreferredWeighting
from multisigma.experiments.relations import mean_cosine, transfer
from multisigma.experiments.study import TASKS, Study, work
from multisigma.experiments.units import UNITS, UnitDepth, factor
from multisigma.experiments.weightings import THREE_TASKS, TWO_TASKS, published
from multisigma.synthetic import generate
from multisigma.tasks import PostprocessContext, load_tasks
from multisigma.tasks.base import RegressionTask
from multisigma.training.train import train
from multisigma.training.weightings import WEIGHTINGS
from multisigma.weighting import Laplace, Softmax, UncertaintyWeighting
from tests.experiments.fakes import FRAMES, fake_result, write_fake

CONFIG = BUDGETS["smoke"].config
OF_NO_RUNS = ("optimum", "table2", "figure4", "figure9")


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
    # A budget with several learning rates, which takes many runs, once.
    budget = "cpu" if name == "table1" else "smoke"
    work(experiment, Study(tmp_path, budget, 2, "data"))
    assert main(["experiment", name, "--out", str(tmp_path), "--budget", budget, "--seeds", "2"]) == 0
    page = (tmp_path / f"{name}.md").read_text()
    assert f"multisigma experiment {name} --" in page
    assert name in OF_NO_RUNS or f" --out DIR --budget {budget} --seeds 2" in page
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
    assert name in OF_NO_RUNS or "All runs agree" in (smoke / f"{name}.md").read_text()


def test_a_run(root: Path, tmp_path: Path) -> None:
    config = Study(tmp_path, "smoke", 1, str(root)).config()
    result = execute(config, tmp_path / "run")
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


def test_a_run_with_the_exact_softmax(root: Path, tmp_path: Path) -> None:
    study = Study(tmp_path, "smoke", 1, str(root))
    config = next(method.config for method in likelihoods.methods(study) if method.name == "exact softmax")
    result = execute(config, tmp_path / "run")
    assert result.last("weight/semantic") == 1
    assert result.last("sigma/semantic") != 1


def test_a_run_in_another_unit(root: Path, tmp_path: Path) -> None:
    config = Study(tmp_path, "smoke", 1, str(root)).config(**UNITS["inverse depth in 1/m"])
    result = execute(config, tmp_path / "run")
    camera = open_dataset(str(root), "val").read(0).camera
    assert camera is not None
    # The loss is in 1/m, the result in pixels. A negative output counts as 0 in the result alone.
    pixels = result.last("val/loss/depth") * camera.fx * camera.baseline
    assert result.value("disparity_error_px", result.frames) == pytest.approx(pixels, rel=0.2)


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
    assert str(tmp_path) not in result.failure
    assert not result.counts


def test_data_are_known_by_their_content(root: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(root), str(tmp_path / "packed"), "--packed"]) == 0
    assert hash_of_data(str(tmp_path / "packed")) == hash_of_data(str(root))
    generate(tmp_path / "other", 4, 4, 64, 128, seed=1, processes=1, samples_page=False)
    assert hash_of_data(str(tmp_path / "other")) != hash_of_data(str(root))


def test_published_rows() -> None:
    """The rows that are usually shown, and the one that is left out elsewhere."""
    three = {row["weighting"]: row for row in published(THREE_TASKS)}
    assert len(three) == 11
    assert [three["uncertainty"][key] for key in ("iou_percent", "instance_l1_px", "disparity_mse")] == [
        *("60.12", "9.87", ".33")
    ]
    assert [float(row["iou_percent"]) for row in three.values()] == [
        *(66.73, 52.98, 51.26, 53.15, 60.12, 57.24, 54.06, 64.33, 65.13, 64.84, 67.06)
    ]
    assert [float(row["instance_l1_px"]) for row in three.values()] == [
        *(10.55, 10.89, 10.25, 10.22, 9.87, 10.29, 9.91, 10.15, 11.58, 11.90, 10.63)
    ]
    assert [float(row["disparity_mse"]) for row in three.values()] == [
        *(0.33, 0.39, 0.41, 0.40, 0.33, 0.35, 0.38, 0.34, 0.32, 0.37, 0.33)
    ]
    two = {row["weighting"]: float(row["delta_m_percent"]) for row in published(TWO_TASKS)}
    assert two == {
        "equal": 22.60,
        "rlw": 24.38,
        "dwa": 21.45,
        "uncertainty": 5.89,
        "mgda": 44.14,
        "pcgrad": 18.29,
        "cagrad": 11.64,
        "imtl_g": 11.10,
        "nash_mtl": 6.82,
    }
    assert {*three, *two} - {"single"} <= WEIGHTINGS.keys()


@pytest.mark.parametrize("change", UNITS.values(), ids=list(UNITS))
def test_units_change_the_loss_and_not_the_result(change: dict[str, Any], root: Path) -> None:
    names = change.get("tasks", ("semantic", "instance", "depth"))
    frame = open_dataset(str(root), "val").read(0)
    for task, plain in zip(load_tasks(names, change.get("task_options")), load_tasks(TASKS), strict=True):
        if not isinstance(task, RegressionTask):
            continue
        width = frame.size[1]
        size = 1.0 if type(task) is type(plain) else factor(task.in_unit, frame.camera, width)
        scale = getattr(task, "scale", 1.0)
        output = torch.randn(task.dimension, *frame.size)
        target, in_pixels = task.target(frame), plain.target(frame)
        np.testing.assert_allclose(target, in_pixels * size, rtol=1e-5)
        loss = task.loss(output[None] * (size / scale), target[None])
        expected = plain.loss(output[None], in_pixels[None])
        assert loss[0].item() == pytest.approx(size * expected[0].item(), rel=1e-4)
        assert loss[1] == expected[1]
        context = PostprocessContext(camera=frame.camera)
        found = task.postprocess(output.numpy() * np.float32(size / scale), {}, context)
        wanted = plain.postprocess(output.numpy(), {}, context)
        np.testing.assert_allclose(found.values, wanted.values, rtol=1e-4, atol=1e-6)


def test_a_unit_needs_a_camera() -> None:
    with pytest.raises(MultisigmaError, match="must have the camera"):
        factor("1/m", None, 128)
    with pytest.raises(MultisigmaError, match="must be one of px, widths, 1/m, 1/km"):
        UnitDepth("miles")  # type: ignore[arg-type]


def test_forms_are_likelihoods_for_every_task() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(0.5)}
    assert GaussianForm(losses)(losses).item() == pytest.approx(1.25)
    assert ExponentialForm(losses)(losses).item() == pytest.approx(2.5)
    assert ExponentialForm(losses, normalise=1.0).weights == {"a": 0.5, "b": 0.5}


def test_exact_semantic_is_its_plain_loss_at_temperature_one() -> None:
    output, target = torch.randn(2, 19, 4, 6), torch.randint(0, 19, (2, 4, 6))
    target[0, 0] = 255
    task = ExactSemantic()
    loss = task.loss(output, target)
    total, count = loss
    assert (loss[0], loss[1]) == (total, count)
    weighting = UncertaintyWeighting({"semantic": task.likelihood})
    assert weighting({"semantic": loss}).item() == pytest.approx(total.item() / count.item(), rel=1e-5)
    assert count == 2 * 24 - 6


def test_noisy_labels_are_seen_by_the_training_alone(root: Path) -> None:
    frame = open_dataset(str(root), "val").read(0)
    plain, noisy = load_tasks(["depth"])[0].target(frame), NoisyDepth(2.0).target(frame)
    added = (noisy - plain)[plain.isfinite()]
    # The mean of |Laplace| is its scale, and so is its standard deviation.
    assert added.abs().mean().item() == pytest.approx(2.0, abs=5 * 2.0 / len(added) ** 0.5)
    assert added.mean().item() == pytest.approx(0.0, abs=5 * 2.9 / len(added) ** 0.5)
    assert torch.equal(noisy.isfinite(), plain.isfinite())
    torch.testing.assert_close(NoisyDepth(2.0).target(frame), noisy, equal_nan=True)
    np.testing.assert_array_equal(NoisyDepth(2.0).true_values()(frame), plain.numpy())
    torch.testing.assert_close(NoisyDepth(0.0).target(frame), plain, equal_nan=True)
    classes, mixed = load_tasks(["semantic"])[0].target(frame), NoisySemantic(0.3).target(frame)
    known = classes != 255
    assert torch.equal(mixed == 255, ~known)
    # A drawn class is the true one now and then.
    share = (mixed != classes)[known].float().mean().item()
    assert share == pytest.approx(0.3 * 18 / 19, abs=5 * (0.21 / known.sum().item()) ** 0.5)
    for make in (lambda: NoisyDepth(-1.0), lambda: NoisySemantic(1.5)):
        with pytest.raises(MultisigmaError, match="must be"):
            make()


def test_the_learned_noise_is_at_its_optimum() -> None:
    for name, curve in optimum.train().items():
        assert curve.learned[-1] == pytest.approx(curve.optimal[-1], rel=0.01), name
        known = optimum.TOYS[name].sigma
        # 2,000 samples.
        assert known != known or curve.learned[-1] == pytest.approx(known, rel=0.1), name


def test_verdicts_follow_the_intervals() -> None:
    """Errors of depth that are half as large, less a per cent for each seed, are a gain of 51 per cent in the mean."""
    study = cast(Study, SimpleNamespace(frames=lambda: ([], FRAMES)))
    worse = [replace(fake_result(CONFIG), config=replace(CONFIG, seed=seed)) for seed in range(3)]
    better = [
        replace(
            result,
            counts={
                "depth": {
                    frame: {**counts, "disparity_sums": counts["disparity_sums"] * (0.5 - 0.01 * result.config.seed)}
                    for frame, counts in result.counts["depth"].items()
                }
            },
        )
        for result in worse
    ]
    gains = verdicts.gains_over(study, better, worse)
    assert set(gains) == {"depth"}
    assert gains["depth"].mean == pytest.approx(51.0)
    assert verdicts.of_gains(gains) == "held"
    assert verdicts.of_gains(verdicts.gains_over(study, worse, better)) == "not held"
    assert verdicts.of_gains(verdicts.gains_over(study, better[:1], worse[:1])) == "undecided"


def test_a_preference_multiplies_a_task() -> None:
    likelihoods = {"semantic": Softmax(), "depth": Laplace()}
    losses = {"semantic": torch.tensor(2.0), "depth": torch.tensor(0.5)}
    assert PreferredWeighting(likelihoods, {"semantic": 3.0})(losses).item() == pytest.approx(6.5)


def test_transfer_is_the_first_order_change(tmp_path: Path) -> None:
    result = replace(
        fake_result(BUDGETS["cpu"].config),
        curves={"loss/depth": ([0, 10], [2.0, 2.0])},
        gradients=[{"step": 5, "cosine/all/semantic/depth": 0.5, "norm/all/depth": 4.0, "norm/all/semantic": 9.0}],
    )
    # 0.01 x 4 x 0.5 of a loss of 2 is 1 %.
    assert transfer(result, "semantic", "depth") == pytest.approx(1.0)
    assert mean_cosine(result, "all", ("semantic", "depth")) == 0.5
