"""A training that cannot go on: its message, and its files."""

import errno
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multisigma.datasets.dataset import ReadableFrames, SceneDataset
from multisigma.datasets.fields import Image
from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.module import readable_worker_errors
from multisigma.datasets.problems import DataError, Problem
from multisigma.errors import MultisigmaError
from multisigma.training import checkpoints
from multisigma.training.checkpoints import newest_checkpoint
from multisigma.training.scene_module import SceneModule
from tests.training.test_checkpoints import root, train  # noqa: F401  # a fixture


def test_a_full_accelerator_gives_advice_with_numbers(
    root: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: SceneModule, *arguments: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(SceneModule, "training_step", full)
    assert train(root, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert "is full at iteration 0, with 2 frames of 48x96 on it." in message
    assert "--batch-size 1; --crop 32x64, which takes about 44%; --precision bf16-mixed" in message
    assert "Tried to allocate 2.00 GiB" in message


def test_a_full_disk_keeps_the_checkpoint_before(
    root: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save = torch.save

    def full(content: Any, file: Any) -> None:
        if content["global_step"] == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, file)

    monkeypatch.setattr(checkpoints.torch, "save", full)
    assert train(root, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert "No space left on device. Make room" in message
    assert "Traceback" not in message
    newest = newest_checkpoint(tmp_path / "run")
    assert newest is not None
    assert newest[1] == 2
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_a_killed_reader_is_named() -> None:
    with pytest.raises(MultisigmaError, match="take fewer --workers"), readable_worker_errors():
        raise RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="mine"), readable_worker_errors():
        raise RuntimeError("mine")


class Damaged(SceneDataset):
    """Four frames, of which some cannot be read; a frame's pixels are its number."""

    labels = CITYSCAPES

    def __init__(self, damaged: Collection[int]) -> None:
        self.damaged = damaged

    def __len__(self) -> int:
        return 4

    def read(self, i: int, only: Collection[str] | None = None) -> Frame:
        if i in self.damaged:
            raise DataError(Problem(Path(f"{i}.png"), "the PNG must be whole", "a cut file", "Restore it."))
        return Frame(self.name(i), {"image": Image(np.full((2, 2, 3), i, np.uint8))}, labels=self.labels)


def test_a_damaged_frame_gives_way_to_the_next_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    frames = ReadableFrames(Damaged({1, 3}))
    assert [int(frames.read(i).image[0, 0, 0]) for i in range(4)] == [0, 2, 2, 0]
    assert frames.replaced == 2
    assert "1.png" in caplog.text
    assert "The next frame is taken instead." in caplog.text
    assert frames.name(1) == "000001"
    with pytest.raises(MultisigmaError, match="must be whole"):
        ReadableFrames(Damaged(range(4))).read(0)
