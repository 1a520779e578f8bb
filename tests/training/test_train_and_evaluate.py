"""The whole way through the command line: train, resume, evaluate, report, and what goes wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import multisigma
from multisigma.cli import main
from multisigma.datasets.images import write_png
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.module import Batch
from multisigma.datasets.open import open_dataset
from multisigma.metrics import Evaluation, IoU
from multisigma.models import SceneModel
from multisigma.synthetic import generate
from multisigma.training.callbacks import ValidationPictures
from multisigma.visualization.curves import read_log
from tests.evaluations import evaluation_in, numbers_in, values
from tests.frames import class_ids
from tests.frames import disparity as disparity_of

SMALL = [
    *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
    *("--batch-size", "2", "--crop", "48x96", "--scale-min", "0.8", "--scale-max", "1.2", "--workers", "0"),
    *("--accelerator", "cpu", "--log-every", "1", "--learning-rate", "0.01"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 4, 2, 64, 128, seed=0, processes=1, samples_page=False)
    return path


def train(root: Path, run: Path, *options: str) -> int:
    return main(["train", "--preset", "tiny", "--data", str(root), "--out", str(run), *SMALL, *options])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    assert train(root, path, "--iterations", "8", "--validate-every", "4", "--checkpoint-every", "3") == 0
    return path


def test_a_run_folder(run: Path) -> None:
    described = {"config.yaml", "labels.json", "environment.json", "network.json", "baselines.npz"}
    model = {"model.json", "model.safetensors"}
    assert {path.name for path in run.iterdir()} == described | model | {"logs", "checkpoints", "best"}
    assert {path.name for path in (run / "best").iterdir()} == model
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    log = read_log(run)
    for name in ("loss", "sigma", "weight", "noise", "noise_ratio"):
        for task in ("semantic", "instance", "depth"):
            steps, values = log[f"{name}/{task}"]
            assert list(steps) == list(range(8))
            assert np.isfinite(values).all()
    assert list(log["val/loss/depth"][0]) == [3, 7]
    assert log["learning_rate"][1][0] == pytest.approx(0.01)
    assert any((run / "logs" / "tensorboard").iterdir())


def test_tensorboard_has_pictures_of_validation_frames(
    run: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = EventAccumulator(str(run / "logs" / "tensorboard"), {"images": 0}).Reload()
    titles = {"Semantic segmentation", "Instance vectors", "Instances", "Depth"}
    frames = {path.name.removesuffix("_leftImg8bit.png") for path in (root / "leftImg8bit/val").rglob("*.png")}
    assert set(events.Tags()["images"]) == {f"{title}/{frame}" for title in titles for frame in frames}
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == [4, 8]
        # Image, prediction and truth; most have an error too.
        assert {(event.height, event.width) for event in events.Images(tag)} <= {(64, 384), (64, 512)}
    # They change nothing of the training.
    monkeypatch.setattr(ValidationPictures, "on_validation_batch_end", lambda *_: None)
    assert train(root, tmp_path, "--iterations", "8", "--validate-every", "4", "--checkpoint-every", "3") == 0
    expected, found = weights(run), weights(tmp_path)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_noise_is_learned_and_logged(run: Path) -> None:
    """The paper's noise is 1 / weight: b = sigma for a Laplace, sigma^2 for a softmax."""
    log = read_log(run)
    state = weights(run)
    for task, power in {"semantic": 2, "instance": 1, "depth": 1}.items():
        noise, sigma, weight = (log[f"{kind}/{task}"][1] for kind in ("noise", "sigma", "weight"))
        np.testing.assert_allclose(noise, sigma**power, rtol=1e-6)
        np.testing.assert_allclose(noise, 1 / weight, rtol=1e-12)
        np.testing.assert_allclose(log[f"noise_ratio/{task}"][1], log["noise/depth"][1] / noise, rtol=1e-12)
    for task in ("semantic", "instance", "depth"):
        assert log[f"sigma/{task}"][1][0] == 1
        assert state[f"weighting.log_variance_{task}"] != 0


def test_evaluate_and_report(run: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--data", str(root), "--pictures", "1"]) == 0
    evaluation = evaluation_in(run, "streets-val")
    keys = {"iou_class", "instance_error_px", "disparity_error_px", "disparity_rms_px"}
    for found in (values(evaluation.measurements), values(evaluation.baseline)):
        assert keys <= found.keys()
        assert all(np.isfinite(found[key]) for key in keys)
    assert len(evaluation["iou_class"].per_class) == 19
    assert evaluation["depth_rmse_m"].interval is not None
    assert len(evaluation["depth_rmse_m"].worst_frames) == 2
    shown = capsys.readouterr().out
    assert "IoU class" in shown
    assert "Table 2 of the paper" in shown
    assert "Instances by the way from votes" in shown
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "data:image" in page
    assert "In the layout of table 2" in page
    assert "Instances by the way from votes" in page
    assert "Reliability: reliability" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_another_model_stands_beside_the_run(run: Path, root: Path, tmp_path: Path) -> None:
    """With the run's own model in its place, all is as without; its provenance tells them apart."""
    copy, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(run, copy)
    SceneModel.load(run).save(other)
    for options in ([], ["--model", str(other)]):
        assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "1", *options]) == 0
    own, beside = evaluation_in(copy, "streets-val"), evaluation_in(copy, "streets-val-model-other")
    assert list(map(repr, own.measurements)) == list(map(repr, beside.measurements))
    assert list(map(repr, own.baseline)) == list(map(repr, beside.baseline))
    assert own.provenance["model"] == "run"
    assert beside.provenance["model"] == str(other)
    assert main(["report", str(copy)]) == 0
    assert f"<b>{other}</b>" in (copy / "report.html").read_text()


def test_the_shipped_model_is_evaluated_at_its_own_height(run: Path, root: Path, tmp_path: Path) -> None:
    """Its working height is 256 rows, those of the data are 64."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "0", "--model", "default"]) == 0
    shown = evaluation_in(copy, "streets-val-model-default")
    frames = [open_dataset(root, "val").read(i) for i in range(2)]
    model = SceneModel.default("cpu")
    metric = IoU(CITYSCAPES)
    counts = [metric.count({"semantic": model.predict(frame.image)["semantic"]}, frame) for frame in frames]
    (expected,) = (m for m in metric.summarise(counts) if m.key == "iou_class")
    assert shown.value("iou_class") == pytest.approx(expected.value)


def test_predictions_that_are_saved_evaluate_to_the_same(run: Path, root: Path, tmp_path: Path) -> None:
    """What a run saves and `--predictions` reads gives the run's numbers; disparity but for its steps of 1/256 px."""
    saved = tmp_path / "saved"
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "0", "--save-predictions", str(saved)]) == 0
    assert main(["evaluate", "--predictions", str(saved), "--data", str(root)]) == 0
    from_run, from_files = evaluation_in(copy), evaluation_in(saved)
    assert {"iou_class", "iiou_category", "disparity_native_error_px", "depth_rmse_m"} <= {
        m.key for m in from_files.measurements
    }
    for m in from_files.measurements:
        if m.key.startswith(("disparity", "depth")):
            assert m.value == pytest.approx(from_run.value(m.key), rel=0.02, abs=0.02, nan_ok=True), m.key
        else:
            assert repr(m) == repr(from_run[m.key])
    for key in ("semantic_ece", "semantic_ece_temperature"):
        assert from_run[key].details.keys() == {"probability", "accuracy", "share"}
    for kind in ("instance", "depth", "instance_fitted", "depth_fitted"):
        shares = [from_run[f"{kind}_coverage_{level}"].value for level in (50, 80, 90, 95)]
        assert shares == sorted(shares)


def test_the_best_checkpoint_is_evaluated_with_fitted_scales(run: Path, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for checkpoint in ("last", "best"):
        assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "0", "--checkpoint", checkpoint]) == 0
    last, best = (evaluation_in(copy, name) for name in ("streets-val", "streets-val-best"))
    assert [m.key for m in best.measurements] == [m.key for m in last.measurements]
    assert np.isfinite(best["depth_fitted_coverage_90"].value)
    # Both are the weights of their checkpoints.
    for checkpoint, folder in (("last", run), ("best", run / "best")):
        stored = load_file(folder / "model.safetensors")
        trained = torch.load(run / "checkpoints" / f"{checkpoint}.ckpt", weights_only=True)["state_dict"]
        assert all(torch.equal(value, trained[f"network.{name}"]) for name, value in stored.items())
    # A run that was stopped has no scales, and is evaluated all the same.
    for path in (copy / "model.json", copy / "best/model.json"):
        path.unlink()
    assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "0", "--name", "unfinished"]) == 0
    unfinished = evaluation_in(copy, "unfinished")
    assert unfinished.value("iou_class") == last.value("iou_class")
    assert "depth_fitted_coverage_90" not in {m.key for m in unfinished.measurements}


def test_evaluation_loads_no_lightning(run: Path, root: Path, tmp_path: Path) -> None:
    """Its import takes seconds."""
    shutil.copytree(run, tmp_path / "run")
    code = f"""import sys
from multisigma.cli import main
assert main(["evaluate", {str(tmp_path / "run")!r}, "--data", {str(root)!r}, "--pictures", "1"]) == 0
assert not {{"lightning", "sklearn", "torchmetrics"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_evaluation_has_its_own_place(run: Path, root: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    copy, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "evaluations", ignore_errors=True)
    shutil.copytree(root, other)
    for options in (
        ["--data", str(root)],
        ["--data", str(other)],
        ["--data", str(root), "--checkpoint", "best"],
        ["--data", str(root), "--split", "train", "--name", "what it learned"],
    ):
        assert main(["evaluate", str(copy), "--pictures", "1", *options]) == 0
    names = {"streets-val", "other-val", "streets-val-best", "what it learned"}
    assert {path.name for path in (copy / "evaluations").iterdir()} == names
    for name in names:
        files = {path.name for path in (copy / "evaluations" / name).iterdir()}
        assert files == {"metrics.json", "counts.npz", "samples"}
    assert numbers_in(copy, "streets-val") == pytest.approx(numbers_in(copy, "other-val"), nan_ok=True)
    assert evaluation_in(copy, "streets-val-best").provenance["checkpoint"] == "best"
    assert main(["report", str(copy)]) == 0
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert all(f"Results: {name}" in page for name in names)
    # The same data again takes its own place; other data under the same name do not.
    assert main(["evaluate", str(copy), "--pictures", "0", "--data", str(root)]) == 0
    elsewhere = tmp_path / "elsewhere" / "streets"
    shutil.copytree(root, elsewhere)
    before = numbers_in(copy, "streets-val")
    capsys.readouterr()
    for data, name, words in (
        (elsewhere, "streets-val", "Found an evaluation with data"),
        (root, "../x", "must be the name of a folder. Found '../x'"),
    ):
        assert main(["evaluate", str(copy), "--data", str(data), "--name", name]) == 2
        assert words in capsys.readouterr().err
    assert repr(numbers_in(copy, "streets-val")) == repr(before)


def test_stored_counts_give_the_numbers_of_any_frames(run: Path, root: Path, tmp_path: Path) -> None:
    from multisigma.metrics import IoU

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "evaluations", ignore_errors=True)
    assert main(["evaluate", str(copy), "--data", str(root), "--pictures", "0"]) == 0
    evaluation = Evaluation.read(copy / "evaluations" / "streets-val", counts=True)
    counts = evaluation.counts["semantic/IoU"]
    assert len(counts) == 2
    (iou, *_) = IoU(CITYSCAPES).summarise(list(counts.values()))
    assert iou.value == evaluation["iou_class"].value
    for name, value in evaluation["iou_class"].worst_frames.items():
        assert IoU(CITYSCAPES).summarise([counts[name]])[0].value == value


def test_both_ways_from_votes_to_instances_are_measured(run: Path, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    found = {}
    for votes in ("default", "paper"):
        saved = tmp_path / votes
        options = ["--votes", votes, "--pictures", "0", "--save-predictions", str(saved)]
        assert main(["evaluate", str(copy), "--data", str(root), *options]) == 0
        found[votes] = evaluation_in(copy, "streets-val" + ("" if votes == "default" else "-votes-paper"))
        assert found[votes].provenance["votes"] == votes
        chosen = values(found[votes].by_votes[votes])
        assert {"ap", "pq"} <= chosen.keys()
        assert repr({key: found[votes].value(key) for key in chosen}) == repr(chosen)
        # The files hold the instances of the way that was asked for.
        assert main(["evaluate", "--predictions", str(saved), "--data", str(root)]) == 0
        from_files = evaluation_in(saved)
        assert not from_files.by_votes
        for key in ("ap", "pq", "pq_things"):
            assert from_files.value(key) == chosen[key]
    assert repr(found["default"].by_votes) == repr(found["paper"].by_votes)
    assert list(found["paper"].by_votes) == ["default", "paper"]


def test_metrics_follow_from_the_predictions(run: Path, root: Path) -> None:
    """An independent pass over the split, with numpy alone, gives the numbers of `evaluate`."""
    from multisigma.datasets.cityscapes import list_frames, read_frame
    from multisigma.datasets.frame import instance_vectors
    from multisigma.datasets.module import image_tensor
    from multisigma.training.evaluate import evaluate
    from multisigma.training.run_folder import load_module

    evaluation = evaluate(run, root, pictures=0).evaluation
    module = load_module(run)
    confusion = np.zeros((19, 19))
    errors: dict[str, list[np.ndarray]] = {"instance": [], "depth": []}
    for files in list_frames(root, "val"):
        frame = read_frame(files)
        with torch.inference_mode():
            outputs = {k: v[0].numpy() for k, v in module(image_tensor(frame)[None]).items()}
        truth, guess = CITYSCAPES.train_ids_of_ids[class_ids(frame)], outputs["semantic"].argmax(0)
        np.add.at(confusion, (truth[truth < 255], guess[truth < 255]), 1)
        difference = np.abs(outputs["instance"] - instance_vectors(frame)).sum(0)
        errors["instance"].append(difference[np.isfinite(difference)])
        disparity = np.where(class_ids(frame) == 23, 0, disparity_of(frame))
        difference = np.abs(outputs["depth"][0].clip(0) - disparity)
        errors["depth"].append(difference[np.isfinite(difference)])
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    iou = confusion.diagonal()[union > 0] / union[union > 0]
    expected = {"instance_error_px": errors["instance"], "disparity_error_px": errors["depth"]}
    assert evaluation.value("iou_class") == pytest.approx(100 * iou.mean())
    for key, of_frames in expected.items():
        assert evaluation.value(key) == pytest.approx(np.concatenate(of_frames).mean(), rel=1e-5)


def test_a_resumed_run_ends_with_the_same_weights(run: Path, root: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from multisigma.training.scene_module import SceneModule

    other, step = tmp_path / "run", SceneModule.training_step

    def stopped(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.global_step == 3:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    options = ("--iterations", "8", "--validate-every", "4", "--checkpoint-every", "3")
    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", stopped)
        with pytest.raises(RuntimeError, match="power cut"):
            train(root, other, *options)
    assert torch.load(other / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert main(["train", "--resume", "--out", str(other)]) == 0
    expected, found = weights(run), weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    losses, resumed = read_log(run)["loss/total"], read_log(other)["loss/total"]
    assert np.array_equal(losses[0], resumed[0])
    assert np.array_equal(losses[1], resumed[1])


@pytest.mark.parametrize(
    "options",
    [
        ("--precision", "bf16-mixed", "--encoder-learning-rate", "0.001", "--photometric.noise", "1"),
        pytest.param(("--compile", "true"), marks=pytest.mark.slow),
    ],
)
def test_resumed_runs_with_the_options_of_power_end_with_the_same_weights(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    from multisigma.training.scene_module import SceneModule

    step = SceneModule.training_step

    def stopped(self: SceneModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.global_step == 2:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    options = (*options, "--threads", str(torch.get_num_threads()), "--iterations", "3", "--checkpoint-every", "1")
    assert train(root, tmp_path / "whole", *options) == 0
    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", stopped)
        with pytest.raises(RuntimeError, match="power cut"):
            train(root, tmp_path / "stopped", *options)
    assert main(["train", "--resume", "--out", str(tmp_path / "stopped")]) == 0
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    # Compiling leaves the weights their names.
    model = multisigma.SceneModel.load(tmp_path / "stopped")
    assert {f"network.{name}" for name in model.network.state_dict()} < expected.keys()
    if "--encoder-learning-rate" in options:
        assert read_log(tmp_path / "whole")["learning_rate/encoder"][1][0] == pytest.approx(0.001)


def test_compiling_without_a_compiler_leaves_no_run_behind(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert train(root, tmp_path / "run", "--iterations", "1", "--compile", "true") == 2
    assert "Option --compile needs a C++ compiler on the CPU. Found no no-such-compiler" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_in_a_folder_with_brackets_keeps_its_configuration(root: Path, tmp_path: Path) -> None:
    run, trap = tmp_path / "run[1]", tmp_path / "run1"
    assert train(root, run, "--iterations", "2") == 0
    trap.mkdir()
    (trap / "config.yaml").write_text("iterations: 7\n")
    assert main(["train", "--resume", "--out", str(run)]) == 0


def test_a_run_stopped_before_its_first_checkpoint_starts_again(
    root: Path, tmp_path: Path, monkeypatch, capsys
) -> None:  # type: ignore[no-untyped-def]
    from multisigma.training.scene_module import SceneModule

    def interrupted(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", interrupted)
        assert train(root, tmp_path / "run", "--iterations", "2") == 130
    assert "starts again." in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_an_interruption_tells_where_the_run_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multisigma.training.scene_module import SceneModule

    step = SceneModule.training_step

    def interrupted(self: SceneModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.global_step == 3:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SceneModule, "training_step", interrupted)
    assert train(root, tmp_path / "run", "--iterations", "4", "--checkpoint-every", "2") == 130
    message = capsys.readouterr().err
    assert "Interrupted at iteration 3;" in message
    assert "goes on from iteration 2, its last checkpoint." in message


@pytest.mark.parametrize(
    ("file", "command", "words"),
    [
        ("checkpoints/last.ckpt", "evaluate unfinished", "the file is empty. Evaluate another"),
        ("model.safetensors", "evaluate", "must hold the weights of the network in model.json"),
        ("baselines.npz", "evaluate", "cannot be read as baselines"),
        ("baselines.npz/", "evaluate", "cannot be read as baselines: [Errno 2] No such file"),
        ("config.yaml", "train", "must hold fields of the training configuration"),
        ("config.yaml", "evaluate", "must hold fields of the training configuration"),
    ],
)
def test_damaged_runs(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, command: str, words: str
) -> None:
    """A file of the run is empty; with a slash at the end, it is gone."""
    path = tmp_path / "run" / file
    shutil.copytree(run, tmp_path / "run")
    path.unlink() if file.endswith("/") else path.write_bytes(b"")
    command, _, unfinished = command.partition(" ")
    if unfinished:
        (tmp_path / "run/model.json").unlink()
    options = {"train": ["--resume", "--out"], "evaluate": ["--data", str(root)]}[command]
    assert main([command, *options, str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert f"{path}: " in message
    assert words in message
    assert "Traceback" not in message


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_code_in_a_checkpoint_does_not_run(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    # A finished run is evaluated by its model, which cannot hold code.
    (tmp_path / "run/model.json").unlink()
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    torch.save(content | {"intruder": Intruder(tmp_path / "intruded")}, path)
    options = {"train": ["--resume", "--out"], "evaluate": ["--data", str(root)]}[command]
    # A training goes on from another checkpoint.
    assert main([command, *options, str(tmp_path / "run")]) == (0 if command == "train" else 2)
    assert "could run code" in capsys.readouterr().err
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize("without", ["disparity", "gtFine", "camera"])
def test_a_root_without_a_kind_of_label_trains_the_rest(
    root: Path, tmp_path: Path, without: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns(f"{without}*"))
    run = tmp_path / "run"
    assert train(tmp_path / "root", run, "--iterations", "2", "--validate-every", "2") == 0
    unlabelled = {"disparity": {"depth"}, "gtFine": {"semantic", "instance"}, "camera": set()}[without]
    state = weights(run)
    for task in ("semantic", "instance", "depth"):
        assert (f"weighting.log_variance_{task}" not in state) == (task in unlabelled)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning:" in line]
    assert len(warnings) == len(unlabelled)
    for task, warning in zip(sorted(unlabelled, reverse=True), warnings, strict=True):
        assert f"warning: Task '{task}': no pixel is labelled in the 4 frames" in warning
        assert f"Unzip {without}_trainvaltest.zip into {tmp_path / 'root'}" in warning
        assert warning.endswith("The run goes on without this task.")
    # A resumed run has the same tasks.
    assert train(tmp_path / "root", run, "--iterations", "2", "--validate-every", "2", "--resume") == 0
    if unlabelled:
        options = ["--tasks", "semantic,instance,depth", "--iterations", "2"]
        assert train(tmp_path / "root", tmp_path / "asked", *options) == 2
        assert not (tmp_path / "asked").exists()
        message = capsys.readouterr().err
        for task in unlabelled:
            assert f"Task '{task}': no pixel is labelled in the 4 frames" in message
        rest = "semantic,instance" if without == "disparity" else "depth"
        assert f"Or leave the task out with --tasks {rest}." in message
    assert main(["evaluate", str(run), "--data", str(tmp_path / "root")]) == 0
    counts = ", ".join(f"{kind} {count}" for kind, count in labelled_frames(run).items())
    assert counts in " ".join(capsys.readouterr().out.split())
    assert labelled_frames(run) == {
        "semantic": 0 if without == "gtFine" else 2,
        "instance": 0 if without == "gtFine" else 2,
        "disparity": 0 if without == "disparity" else 2,
        "camera": 0 if without == "camera" else 2,
    }
    evaluation = evaluation_in(run)
    for found in (values(evaluation.measurements), values(evaluation.baseline)):
        assert ("disparity_error_px" in found) == (without != "disparity")
        assert ("iou_class" in found) == (without != "gtFine")
    assert main(["report", str(run)]) == 0


def labelled_frames(run: Path) -> dict[str, int]:
    counts: dict[str, int] = evaluation_in(run).provenance["labelled_frames"]
    return counts


@pytest.mark.parametrize(
    ("tasks", "without", "words"),
    [
        ("semantic,instance,depth", ("gtFine", "disparity"), ("'semantic'", "'instance'", "'depth'", "found 0 frames")),
        ("depth", ("disparity",), ("'depth'", "disparity/train/CITY/*_disparity.png", "disparity_trainvaltest.zip")),
    ],
)
def test_nothing_to_learn_from_is_an_error(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tasks: str, without: tuple[str, ...], words: str
) -> None:
    shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns(*without))
    shutil.copytree(root / "gtFine", tmp_path / "root" / "gtCoarse")
    assert train(tmp_path / "root", tmp_path / "run", "--tasks", tasks, "--iterations", "2") == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert "--tasks" not in message
    assert not (tmp_path / "run").exists()


def test_labels_of_nothing_but_void_are_told_apart(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root")
    for path in (tmp_path / "root" / "gtFine" / "train").glob("*/*Ids.png"):
        write_png(path, np.zeros((64, 128), np.uint8 if "labelIds" in path.name else np.uint16))
    assert train(tmp_path / "root", tmp_path / "run", "--tasks", "semantic,instance", "--iterations", "2") == 2
    message = capsys.readouterr().err
    assert "found 4 frames" in message
    assert "All their pixels are void" in message
    assert "Unzip" not in message


def test_a_split_without_any_label_is_not_evaluated(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns("gtFine", "disparity*"))
    arguments = ["evaluate", str(run), "--data", str(tmp_path / "root")]
    (tmp_path / "semantic").mkdir()
    for command in (arguments, ["evaluate", "--predictions", str(tmp_path), *arguments[2:]]):
        assert main(command) == 2
        message = capsys.readouterr().err
        assert "training and evaluation need labels in the split 'val'; found 2 images without" in message
        assert "Unzip gtFine_trainvaltest.zip" in message
    # Predictions for images without labels are what a submission is made of.
    shutil.copytree(run, tmp_path / "run")
    arguments[1] = str(tmp_path / "run")
    assert main([*arguments, "--pictures", "0", "--save-predictions", str(tmp_path / "saved")]) == 0
    assert len(list((tmp_path / "saved" / "semantic").iterdir())) == 2


def test_a_validation_split_without_any_label_is_none(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root")
    for kind in ("gtFine", "disparity"):
        shutil.rmtree(tmp_path / "root" / kind / "val")
    run = tmp_path / "run"
    assert train(tmp_path / "root", run, "--iterations", "2", "--validate-every", "1", "--checkpoint-every", "1") == 0
    warning = capsys.readouterr().err
    assert "training and evaluation need labels in the split 'val'; found 2 images without" in warning
    assert "There is no validation." in warning
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert main(["evaluate", str(run), "--data", str(root), "--checkpoint", "best"]) == 2
    assert "the run has no checkpoint 'best'. Found last. Choose one of them." in capsys.readouterr().err
    assert not [name for name in read_log(run) if name.startswith("val/")]


def test_a_fault_of_validation_shows_before_training(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root")
    path = sorted((tmp_path / "root" / "disparity" / "val").glob("*/*.png"))[-1]
    path.write_bytes(b"")
    assert train(tmp_path / "root", tmp_path / "run", "--iterations", "2", "--validate-every", "2") == 2
    assert path.name in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_written_is_shown_all_the_same(
    run: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")

    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", forbid)
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(root), "--pictures", "0"]) == 2
    shown = capsys.readouterr()
    assert "Table 2 of the paper" in shown.out
    assert str(tmp_path / "run" / "evaluations") in shown.err
    assert "cannot be written: Permission denied" in shown.err
    monkeypatch.undo()
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(root), "--pictures", "0"]) == 0
    monkeypatch.setattr("os.replace", forbid)
    assert main(["report", str(tmp_path / "run")]) == 2
    assert "report.html: cannot be written: Permission denied" in capsys.readouterr().err


def test_a_folder_that_may_not_be_entered(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbid(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", forbid)
    assert main(["evaluate", str(tmp_path), "--data", str(root)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {root}: must be open to you; found Permission denied.")
    assert "Traceback" not in message


def test_paths_are_printed_as_they_are(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / ("a [bold]" + "long name" * 9)
    shutil.copytree(run, copy)
    assert main(["report", str(copy)]) == 0
    assert f"open {(copy / 'report.html').as_uri()}\n" in capsys.readouterr().out
    assert main(["prepare", str(root), str(tmp_path / "x[red]"), "--size", "16x32"]) == 0
    assert f"frames in {tmp_path / 'x[red]'}\n" in capsys.readouterr().out


def test_a_city_without_disparity_beside_one_with(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    image = sorted((copy / "leftImg8bit" / "train").glob("*/*.png"))[0]
    for folder, ending in (
        ("leftImg8bit", "leftImg8bit"),
        ("gtFine", "gtFine_labelIds"),
        ("gtFine", "gtFine_instanceIds"),
    ):
        source = sorted((copy / folder / "train" / image.parent.name).glob(f"*{ending}.png"))[0]
        target = copy / folder / "train" / "newtown" / f"newtown_000000_000019_{ending}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    assert train(copy, tmp_path / "run", "--iterations", "3", "--batch-size", "1") == 0


def test_fixed_weights_and_a_subset_of_tasks(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--tasks", "semantic,depth", "--weighting", "fixed", "--iterations", "2")
    assert train(root, run, *options, "--weighting.weights", "{semantic: 0.9, depth: 0.1}") == 0
    log = read_log(run)
    expected = 0.9 * log["loss/semantic"][1] + 0.1 * log["loss/depth"][1]
    np.testing.assert_allclose(log["loss/total"][1], expected, rtol=1e-5)
    assert "sigma/semantic" not in log
    assert main(["evaluate", str(run), "--data", str(root)]) == 0
    metrics = numbers_in(run)
    assert not {"instance_error_px", "ap", "pq", "semantic_ece_temperature"} & metrics.keys()
    assert {"iiou_class", "depth_rmse_m", "semantic_ece"} <= metrics.keys()


def test_training_is_without_warnings(root: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert train(root, tmp_path / "run", "--iterations", "2", "--frozen-stride", "4") == 0
    assert [str(warning.message) for warning in recwarn] == []


def test_the_uniform_form_trains_and_evaluates(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(root, run, "--weighting", "uniform", "--weighting.initial", "1", "--iterations", "3") == 0
    log = read_log(run)
    tasks = ("semantic", "instance", "depth")
    noises = {task: log[f"noise/{task}"][1] for task in tasks}
    assert all(noise[0] == pytest.approx(np.e) and noise[2] != noise[0] for noise in noises.values())
    expected = sum(log[f"loss/{task}"][1] / noises[task] + np.log(noises[task]) for task in tasks)
    np.testing.assert_allclose(log["loss/total"][1], expected, rtol=1e-5)
    assert main(["evaluate", str(run), "--data", str(root), "--pictures", "0"]) == 0
    metrics = numbers_in(run)
    # The learned noise belongs to no likelihood of the task: there is nothing to calibrate.
    assert "semantic_ece" in metrics
    assert not {"semantic_ece_temperature", "depth_coverage_50", "instance_coverage_50"} & metrics.keys()


def test_a_users_own_task(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The design's test: a fourth task is one new file and one word in the configuration."""
    (tmp_path / "boundary_task.py").write_text(
        """
import torch
from multisigma.visualization.picture import Picture
from multisigma.tasks import RegressionTask
from multisigma.tasks.baselines import RowMean

class Boundary(RegressionTask):
    name, unit = "boundary", "m"

    def target(self, frame):
        ids = torch.from_numpy(frame.get("instance").ids)
        edge = torch.zeros(1, *ids.shape)
        edge[0, :, 1:] = (ids[:, 1:] != ids[:, :-1]).float()
        return edge

    def baseline(self):
        return RowMean()

    def visualize(self, frame, scene):
        grey = (255 * scene["boundary"].values[0].clip(0, 1)).astype("uint8")
        return [Picture("Boundary", grey[..., None].repeat(3, -1), None)]
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    assert train(root, run, "--tasks", "semantic,instance,depth,boundary_task.Boundary", "--iterations", "2") == 0
    assert main(["evaluate", str(run), "--data", str(root), "--trust-code"]) == 0
    evaluation = evaluation_in(run)
    for found in (values(evaluation.measurements), values(evaluation.baseline)):
        assert np.isfinite(found["boundary_error_m"])
    assert "sigma/boundary" in read_log(run)
    assert main(["report", str(run)]) == 0
    assert "Boundary" in (run / "report.html").read_text()


def test_frames_of_another_size_are_evaluated(run: Path, root: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(root), str(tmp_path / "half"), "--size", "32x64"]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--data", str(tmp_path / "half")]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "{run}", "--data", "{root}", "--split", "test"], "'test' must exist"),
        (["evaluate", "{tmp}", "--data", "{root}"], "not a run folder"),
        (
            ["evaluate", "{run}", "--data", "{root}", "--checkpoint", "first"],
            "must be one of last, best. Found 'first'",
        ),
        (["evaluate", "{run}/config.yaml", "--data", "{root}"], "must be a folder. Found a file. Name the folder"),
        (["demo", "--out", "{run}"], "must be a new or empty folder"),
        (["evaluate", "{run}", "--data", "{tmp}/nowhere"], "nowhere"),
        (["evaluate", "--data", "{root}"], "either a run folder or --predictions DIR; found neither"),
        (["evaluate", "{run}", "--predictions", "{tmp}", "--data", "{root}"], "either a run folder or --predictions"),
        (["evaluate", "--predictions", "{tmp}", "--data", "{root}"], "semantic/, instance/, disparity/"),
        (["evaluate", "--predictions", "{tmp}", "--data", "{root}", "--save-predictions", "x"], "goes with a run"),
        (["evaluate", "--predictions", "{tmp}", "--data", "{root}", "--votes", "paper"], "--votes goes with a run"),
        (["evaluate", "{run}", "--data", "{root}", "--save-predictions", "{root}"], "new or empty folder"),
        (["report", "{tmp}"], "run"),
        (["train", "--preset", "tiny", "--data", "{root}", "--out", "{run}"], "--resume"),
        (["train", "--preset", "huge", "--data", "{root}", "--out", "{tmp}/run"], "--preset must be one of"),
        (["train", "--resume", "--out", "{tmp}/none"], "no run to resume"),
        (["train", "--resume", "--out", "{run}", "--iterations", "9"], "--iterations 9"),
        (["train", "--preset", "tiny", "--out", "{tmp}/run"], "--data"),
        (["generate", "{root}"], "new or empty folder"),
        (["check", "{tmp}/nowhere"], "nowhere"),
        (["prepare", "{root}", "{root}/tiny"], "outside"),
    ],
)
def test_errors_are_said_plainly(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([a.format(run=run, root=root, tmp=tmp_path) for a in arguments]) == 2
    message = capsys.readouterr().err
    assert words in message.replace("\n", " ")
    assert "Traceback" not in message


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_malformed_frame_stops_training_before_it_begins(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    path = sorted((copy / "gtFine" / "train").glob("*/*labelIds.png"))[-1]
    write_png(path, np.full((64, 128), 77, np.uint8))
    assert train(copy, tmp_path / "run", "--iterations", "2", "--workers", workers) == 2
    message = capsys.readouterr().err
    assert path.name in message.replace("\n", "")
    assert "77" in message
    assert "Traceback" not in message
    assert [p.name for p in tmp_path.iterdir()] == ["root"]
    assert main(["check", str(copy)]) == 2
    assert path.name in capsys.readouterr().err.replace("\n", "")


def test_a_malformed_frame_stops_evaluation_in_plain_words(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root")
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("workers: 0", "workers: 1"))
    path = sorted((tmp_path / "root" / "gtFine" / "val").glob("*/*labelIds.png"))[-1]
    path.write_bytes(b"")
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "root")]) == 2
    message = capsys.readouterr().err
    assert path.name in message.replace("\n", "")
    assert "Traceback" not in message
    assert "DataLoader" not in message


def test_a_loss_that_is_not_finite_names_its_task(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, tmp_path / "run", "--iterations", "30", "--learning-rate", "1e30") == 2
    message = capsys.readouterr().err
    assert "must be finite" in message
    assert "'semantic'" in message
    assert "This was iteration" in message
    batch = load_file(tmp_path / "run" / "diverged.safetensors")
    assert batch["image"].shape == (2, 3, 48, 96)
    assert batch["target/depth"].shape[0] == 2


def test_data_of_other_classes_are_evaluated_in_their_own(
    run: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of 19 classes against data of three, under other ids, one of which the model does not have."""
    (tmp_path / "three_classes.py").write_text(
        f"""
from dataclasses import replace
import numpy as np
from multisigma.datasets import CITYSCAPES, LabelSpace, SceneDataset, open_dataset
from multisigma.datasets.fields import ClassMap, InstanceMap, instance_centroids
from multisigma.datasets.labels import Label

NAMES = ["Car", "tree house", "road"]
THREE = LabelSpace(
    "three",
    (
        Label("void", 0, 255, "void", 0, False, True, (0, 0, 0)),
        *(Label(name, i + 1, i, name, i, name == "Car", False, (9, i, 0)) for i, name in enumerate(NAMES)),
    ),
)
TABLE = CITYSCAPES.onto(THREE)

class Three(SceneDataset):
    def __init__(self, split):
        self.streets = open_dataset({str(root)!r}, split)

    labels = THREE

    def __len__(self):
        return len(self.streets)

    def read(self, i, only=None):
        frame = self.streets.read(i)
        ids = TABLE[frame.get("semantic").ids]
        ids[:4] = 2  # trees' houses, which the model does not know
        objects = frame.get("instance").ids
        objects = np.where(objects // 1000 == 26, objects - 25000, ids.astype(np.int32))
        instances = InstanceMap(objects, instance_centroids(objects, [1]))
        fields = dict(frame.fields) | {{"semantic": ClassMap(ids), "instance": instances}}
        return replace(frame, fields=fields, labels=THREE)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--data", "three_classes.Three", "--pictures", "1", "--name", "three"]) == 0
    from three_classes import TABLE, Three

    from multisigma.models import SceneModel

    data, model = Three("val"), SceneModel.load(copy, "cpu")
    confusion = np.zeros((4, 4))
    for i in range(len(data)):
        frame = data.read(i)
        guess = TABLE[model.predict(frame.image, height=frame.size[0])["semantic"].ids]
        np.add.at(confusion, (frame.get("semantic").ids, guess), 1)
    hits = confusion.diagonal()[1:]
    union = confusion[1:].sum(1) + confusion[1:, 1:].sum(0) - hits
    evaluation = evaluation_in(copy, "three")
    assert list(evaluation["iou_class"].per_class) == ["Car", "tree house", "road"]
    np.testing.assert_allclose(list(evaluation["iou_class"].per_class.values()), 100 * hits / union)
    assert evaluation["iou_class"].per_class["tree house"] == 0
    assert list(evaluation["ap"].per_class) == ["Car"]
    assert np.isfinite(evaluation["pq"].value)
    baseline = values(evaluation.baseline)
    assert np.isfinite(baseline["iou_class"])
    assert main(["report", str(copy)]) == 0


def test_a_model_and_data_without_a_common_class_are_refused(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    info = json.loads((copy / "model.json").read_text())
    for label in info["labels"]["classes"]:
        label["name"] += " of glass"
    (copy / "model.json").write_text(json.dumps(info))
    assert main(["evaluate", str(copy), "--data", str(root)]) == 2
    message = capsys.readouterr().err
    assert "the model and the data must have a class in common. Found road of glass, " in message
    assert "and road, sidewalk, building, " in message
    # Without labels of classes, depth is evaluated as before.
    shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns("gtFine"))
    assert main(["evaluate", str(copy), "--data", str(tmp_path / "root"), "--pictures", "0"]) == 0


@pytest.mark.parametrize("options", [("--accelerator", "tpux"), ("--devices", "2", "--accelerator", "gpu")])
@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="has the devices")
def test_a_device_that_is_not_there_leaves_no_run_behind(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert train(root, tmp_path / "run", "--iterations", "1", *options) == 2
    assert "Options --accelerator, --devices and --precision must suit this machine" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_misspelt_weighting_is_found_before_weights_are_fetched(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, tmp_path / "run", "--weighting", "unertainty", "--encoder-weights", "no/such/file") == 2
    assert "'unertainty'" in capsys.readouterr().err


def test_the_same_data_by_another_path_is_the_same_evaluation(
    root: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["evaluate", str(run), "--pictures", "0", "--name", "twice", "--data"]
    assert main([*command, str(root)]) == 0
    monkeypatch.chdir(root.parent)
    assert main([*command, root.name]) == 0
    other = tmp_path / root.name
    generate(other, 1, 1, 64, 128, seed=1, processes=1, samples_page=False)
    monkeypatch.chdir(tmp_path)
    assert main([*command, root.name]) == 2


def test_a_crop_far_larger_than_the_frames_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(root, tmp_path / "run", "--crop", "640x1280") == 2
    assert "Option --crop must be at most twice the largest scaled frame. Found 640x1280" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
