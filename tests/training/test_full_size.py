"""What takes minutes: the paper's network on frames of the real size, two devices, a GPU."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from multisigma.cli import main
from multisigma.synthetic import generate
from tests.evaluations import numbers_in


@pytest.fixture(scope="module")
def full_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "full"
    generate(path, 3, 1, 1024, 2048, seed=0, samples_page=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), ("disparity*",)])
def test_the_papers_network_on_full_frames(full_root: Path, tmp_path: Path, without: tuple[str, ...]) -> None:
    shutil.copytree(full_root, tmp_path / "root", ignore=shutil.ignore_patterns(*without))
    run = tmp_path / "run"
    options = [
        "--iterations",
        "2",
        "--batch-size",
        "2",
        "--encoder-weights",
        "none",
        "--workers",
        "1",
        "--accelerator",
        "cpu",
    ]
    assert main(["train", "--preset", "full", "--data", str(tmp_path / "root"), "--out", str(run), *options]) == 0
    assert main(["evaluate", str(run), "--data", str(tmp_path / "root"), "--pictures", "1"]) == 0
    metrics = numbers_in(run)
    assert "iou_class" in metrics
    assert ("disparity_error_px" in metrics) != bool(without)
    assert main(["report", str(run)]) == 0


def command(root: Path, run: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "multisigma", "train", "--preset", "tiny", "--data", str(root), "--out", str(run)),
        *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
        *("--crop", "64x128", "--workers", "1", "--accelerator", "cpu", "--log-every", "1", *options),
    ]


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "small"
    generate(path, 6, 2, 64, 128, seed=0, samples_page=False)
    return path


@pytest.mark.slow
def test_two_processes_train_together(small_root: Path, tmp_path: Path) -> None:
    options = ["--devices", "2", "--batch-size", "4", "--iterations", "6", "--validate-every", "3"]
    subprocess.run(command(small_root, tmp_path / "run", *options), check=True, timeout=300)
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(small_root), "--pictures", "0"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_to_the_same_weights(small_root: Path, tmp_path: Path, kill: signal.Signals) -> None:
    options = ["--iterations", "60", "--batch-size", "4", "--checkpoint-every", "7", "--validate-every", "25"]
    subprocess.run(command(small_root, tmp_path / "whole", *options), check=True, timeout=300)
    process = subprocess.Popen(
        command(small_root, tmp_path / "cut", *options),
        # A shell's background job ignores the interrupt, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(kill)
    assert process.wait(timeout=120) != 0
    assert torch.load(checkpoint, weights_only=True)["global_step"] < 60
    again = [sys.executable, "-m", "multisigma", "train", "--resume", "--out", str(tmp_path / "cut")]
    subprocess.run(again, check=True, timeout=300)
    states = [torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True) for run in ("whole", "cut")]
    assert all(torch.equal(states[0]["state_dict"][name], value) for name, value in states[1]["state_dict"].items())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_training_on_a_gpu(small_root: Path, tmp_path: Path, precision: str) -> None:
    run = tmp_path / "run"
    options = ["--accelerator", "gpu", "--precision", precision, "--iterations", "6", "--batch-size", "2"]
    subprocess.run(command(small_root, run, *options), check=True, timeout=300)
    assert main(["evaluate", str(run), "--data", str(small_root), "--pictures", "0"]) == 0
