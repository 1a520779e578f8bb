"""Checkpoints survive kills, damage and signals, and execute nothing."""

import logging
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from multisigma.claims import Claims
from multisigma.cli import main
from multisigma.errors import MultisigmaError
from multisigma.files import remove_leftovers
from multisigma.signals import REQUEUE_STATUS, exit_status, handled_signals
from multisigma.synthetic import generate
from multisigma.training.checkpoints import (
    BestCheckpoint,
    CheckpointFiles,
    checkpoint_path,
    newest_checkpoint,
    read_checkpoint,
)
from multisigma.training.scene_module import SceneModule
from tests.kills import killed_at_each_operation
from tests.training.test_train_and_evaluate import SMALL


def content(step: int, **changes: Any) -> dict[str, Any]:
    return {
        "pytorch-lightning_version": "2.6.0",
        "global_step": step,
        "epoch": 0,
        "state_dict": {"weight": torch.arange(64.0) + step, "bias": torch.ones(3)},
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
    } | changes


def save(run: Path, step: int, name: str = "last", **changes: Any) -> Path:
    path = checkpoint_path(run, name)
    CheckpointFiles().save_checkpoint(content(step, **changes), path)
    return path


def test_a_checkpoint_comes_back_and_the_one_before_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        path = save(tmp_path, step)
    assert torch.equal(read_checkpoint(path)["state_dict"]["weight"], torch.arange(64.0) + 3)
    assert read_checkpoint(checkpoint_path(tmp_path, "previous"))["global_step"] == 2
    assert newest_checkpoint(tmp_path) == (path, 3)
    assert {path.name for path in path.parent.iterdir()} == {"last.ckpt", "previous.ckpt"}


def test_no_kill_loses_a_checkpoint(tmp_path: Path) -> None:
    def before(place: Path) -> None:
        save(place, 1)
        save(place, 2)

    steps = []
    for place in killed_at_each_operation(tmp_path, before, lambda place: save(place, 3)):
        newest = newest_checkpoint(place)
        assert newest is not None
        steps.append(newest[1])
        remove_leftovers(newest[0].parent)
        assert {path.name for path in newest[0].parent.iterdir()} <= {"last.ckpt", "previous.ckpt"}
    assert steps == sorted(steps)
    assert set(steps) == {2, 3}


def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    whole, expected = path.read_bytes(), read_checkpoint(path)
    rng = random.Random(0)
    # Half of them in the directory at the end, which no checksum covers.
    places = [rng.randrange(len(whole)) for _ in range(150)] + [
        rng.randrange(len(whole) - 1500, len(whole)) for _ in range(150)
    ]
    found = 0
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        try:
            read = read_checkpoint(path)
        except MultisigmaError:
            found += 1
            continue
        assert read.keys() == expected.keys()
        assert all(torch.equal(read["state_dict"][k], v) for k, v in expected["state_dict"].items())
        assert read["global_step"] == 7
    assert found > 150


def test_a_cut_file_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        caplog.clear()
        path.write_bytes(whole[:length])
        with caplog.at_level(logging.WARNING):
            assert newest_checkpoint(tmp_path) == (checkpoint_path(tmp_path, "previous"), 1)
        assert "goes on from" in caplog.text
    # The best one may be newer.
    best = save(tmp_path, 2, "best")
    assert newest_checkpoint(tmp_path) == (best, 2)
    for name in ("previous", "best"):
        checkpoint_path(tmp_path, name).write_bytes(b"")
    with pytest.raises(MultisigmaError, match="Restore one of them, or remove"):
        newest_checkpoint(tmp_path)


class Intruder:
    def __reduce__(self) -> Any:
        return os.mkdir, ("intruded",)


def test_expanded_and_tied_tensors_are_read(tmp_path: Path) -> None:
    weight = torch.ones(100, 100)
    state = {"prior": torch.tensor(0.5).expand(1000), "grid": torch.arange(3.0)[:, None].expand(3, 4), "a": weight}
    path = save(tmp_path, 3, state_dict=state | {"b": weight, "c": weight.T})
    assert read_checkpoint(path)["state_dict"]["prior"].shape == (1000,)


def test_a_list_that_holds_itself_is_read(tmp_path: Path) -> None:
    itself: list[Any] = []
    itself.append(itself)
    path = save(tmp_path, 3, nested=itself)
    assert read_checkpoint(path)["global_step"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"global_step": -5}, "its `global_step` is -5"),
        ({"global_step": True}, "its `global_step` is True"),
        ({"pytorch-lightning_version": None}, "its `pytorch-lightning_version` is missing"),
        ({"state_dict": [1]}, r"its `state_dict` is \[1\]"),
        ({"extra": Intruder()}, "could run code"),
        ({"optimizer_states": [{"state": {0: {"buffer": torch.zeros(1).expand(2**16, 2**16)}}}]}, "stand for 17,179"),
    ],
)
def test_what_no_training_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 3, **changes)
    with pytest.raises(MultisigmaError, match=words):
        read_checkpoint(path)
    assert not (tmp_path / "intruded").exists()


def test_a_run_that_has_moved_keeps_its_best_score(tmp_path: Path) -> None:
    before, after = (BestCheckpoint(tmp_path / name, "loss") for name in ("before", "after"))
    before.best_model_score = torch.tensor(1.5)
    before.best_model_path = before.kth_best_model_path = str(checkpoint_path(tmp_path / "before", "best"))
    before.best_k_models = {before.best_model_path: before.best_model_score}
    after.load_state_dict(before.state_dict())
    assert after.best_model_score == 1.5
    assert after.best_k_models == {str(checkpoint_path(tmp_path / "after", "best")): 1.5}
    # Checkpoints of earlier releases have the state under the name of Lightning's own callback.
    assert after.state_key.startswith("ModelCheckpoint{")


def test_exit_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
    assert [exit_status(number) for number in numbers] == [130, 143, 129, REQUEUE_STATUS]
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert [exit_status(number) for number in numbers] == [130, *3 * [REQUEUE_STATUS]]


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    received: list[int] = []
    try:
        with handled_signals(received.append):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGUSR1)
        assert received == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


OPTIONS = ("--iterations", "5", "--validate-every", "2", "--checkpoint-every", "4")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 2, 3, 64, 128, seed=0, processes=1, samples_page=False)
    return path


def train(root: Path, run: Path, *options: str) -> int:
    return main(["train", "--preset", "tiny", "--data", str(root), "--out", str(run), *SMALL, *OPTIONS, *options])


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(root, run) == 0
    return run


def assert_equal_runs(run: Path, other: Path) -> None:
    for name in ("model.safetensors", "best/model.safetensors"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    states = [read_checkpoint(checkpoint_path(folder)) for folder in (run, other)]
    assert states[0]["global_step"] == states[1]["global_step"]


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 1), (signal.SIGUSR1, 2)])
def test_a_signal_writes_a_checkpoint_that_goes_on_exactly(
    root: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    step: int,
) -> None:
    """The signal comes in the iteration before `step`; after iteration 2 a validation would follow."""
    run, training_step = tmp_path / "run", SceneModule.training_step

    def signalled(self: SceneModule, *arguments: Any) -> torch.Tensor:
        if self.global_step == step - 1:
            signal.raise_signal(number)
        return training_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", signalled)
        assert train(root, run) == exit_status(number)
    assert f"Stopped by {number.name} after iteration {step}, with a checkpoint" in capsys.readouterr().err
    assert newest_checkpoint(run) == (checkpoint_path(run), step)
    assert not checkpoint_path(run, "best").exists()
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert_equal_runs(run, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("step", "iterations"), [(2, "5"), (4, "4")])
def test_a_signal_stops_a_validation_but_the_last_one(
    root: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    step: int,
    iterations: str,
) -> None:
    """The signal comes in the second of three frames. The resumed run does all of them."""
    run, validation_step, frames = tmp_path / "run", SceneModule.validation_step, []

    def signalled(self: SceneModule, *arguments: Any) -> Any:
        frames.append(self.global_step)
        if frames.count(step) == 2:
            signal.raise_signal(signal.SIGTERM)
        return validation_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "validation_step", signalled)
        assert train(root, run, "--iterations", iterations) == exit_status(signal.SIGTERM)
    last = iterations == "4"
    assert frames.count(step) == (3 if last else 2)
    assert f"Stopped by SIGTERM after iteration {step}, with a checkpoint" in capsys.readouterr().err
    assert newest_checkpoint(run) == (checkpoint_path(run), step)
    frames.clear()

    def counted(self: SceneModule, *arguments: Any) -> Any:
        frames.append(self.global_step)
        return validation_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "validation_step", counted)
        assert main(["train", "--resume", "--out", str(run)]) == 0
    assert frames == ([] if last else [2, 2, 2, 4, 4, 4])
    if last:
        whole = tmp_path / "whole"
        assert train(root, whole, "--iterations", iterations) == 0
    assert_equal_runs(run, whole)
    states = [read_checkpoint(checkpoint_path(folder))["callbacks"] for folder in (run, whole)]
    scores = [[s["best_model_score"] for s in state.values() if "best_model_score" in s] for state in states]
    assert len(scores[0]) == 1
    assert scores[0] == scores[1]


def test_a_damaged_checkpoint_goes_on_exactly_from_the_one_before(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    path = checkpoint_path(run)
    os.truncate(path, path.stat().st_size // 2)
    checkpoint_path(run, "best").unlink()
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert "goes on from" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_checkpoint(checkpoint_path(run, "previous"))["global_step"] == 4
    assert checkpoint_path(run, "damaged").is_file()


def test_parts_of_different_iterations_are_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    path = checkpoint_path(tmp_path / "run")
    # A finished run would not go on.
    torch.save(read_checkpoint(checkpoint_path(tmp_path / "run", "previous")) | {"global_step": 3}, path)
    assert main(["train", "--resume", "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert f"{path}: does not fit this run" in message
    assert "Traceback" not in message


def test_two_trainings_do_not_share_a_folder(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Claims().claim(tmp_path / ".run.lock") as mine:
        assert mine
        assert train(root, tmp_path / "run") == 2
    assert "another process trains into this folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_command_starts_and_goes_on(
    root: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_step = SceneModule.training_step

    def killed(self: SceneModule, *arguments: Any) -> torch.Tensor:
        if self.global_step == 4:
            raise RuntimeError("power cut")
        return training_step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SceneModule, "training_step", killed)
        with pytest.raises(RuntimeError, match="power cut"):
            train(root, tmp_path / "run", "--resume-or-start")
    assert train(root, tmp_path / "run", "--resume-or-start") == 0
    assert_equal_runs(tmp_path / "run", whole)
