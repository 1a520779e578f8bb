"""Jobs to kill: each goes on when it is run again, and must end as if nothing had happened."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from multisigma.cli import main
from multisigma.datasets.images import write_png
from multisigma.datasets.prepare import prepare
from multisigma.experiments import study as study_module
from multisigma.experiments import table1
from multisigma.experiments.study import Study, make_page, run_study
from multisigma.files import new_folder, remove_leftovers, write_text
from multisigma.models import SceneModel
from multisigma.synthetic import generate
from multisigma.training.checkpoints import CheckpointFiles, checkpoint_path, newest_checkpoint, read_checkpoint
from tests.experiments.fakes import fake_result

_STRAY = re.compile(r"\..*(\.tmp|\.old|\.lock|\.run)")
Digest = Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """A job and how to see that it is done.

    Args:
        run: Called with a folder, again after each kill. It reports each finished step by the function.
        digest: Says what is in the folder afterwards.
        check: Called with the folder and the number of reported steps after a kill; raises where work is lost.
        prepare: Called once with a folder, whose copies are then killed in.
    """

    run: Callable[[Path, Callable[[], None]], None]
    digest: Callable[[Path], Digest]
    check: Callable[[Path, int], None] = field(default=lambda folder, steps: None)
    prepare: Callable[[Path], None] = field(default=lambda folder: None)


def strays(folder: Path) -> list[Path]:
    """Return what a command has left behind."""
    return [path for path in folder.rglob(".*") if _STRAY.fullmatch(path.name)]


def files(folder: Path, leave_out: str = r"$^") -> Digest:
    """Return a hash of each file below a folder by its path, without those whose path matches."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not re.search(leave_out, str(path.relative_to(folder)))
    }


def _write_folders(folder: Path, done: Callable[[], None]) -> None:
    remove_leftovers(folder)
    for number in range(3):
        with new_folder(folder / "a", replace=True) as new:
            for name in ("x", "y"):
                write_text(new / name, f"{name} {number}")
        done()


def _check_folders(folder: Path, steps: int) -> None:
    remove_leftovers(folder)
    if steps:
        x, y = ((folder / "a" / name).read_text().split()[1] for name in ("x", "y"))
        assert x == y
        assert int(x) >= steps - 1


def _save_checkpoints(folder: Path, done: Callable[[], None]) -> None:
    remove_leftovers(folder / "checkpoints")
    newest = newest_checkpoint(folder)
    for step in range(newest[1] + 1 if newest else 1, 5):
        rng = np.random.default_rng(step)
        content = {
            "pytorch-lightning_version": "2.6.0",
            "global_step": step,
            "epoch": 0,
            "state_dict": {"weight": torch.from_numpy(rng.random(2000))},
            "loops": {},
            "callbacks": {},
            "optimizer_states": [],
            "lr_schedulers": [],
        }
        CheckpointFiles().save_checkpoint(content, checkpoint_path(folder))
        done()


def _check_checkpoints(folder: Path, steps: int) -> None:
    newest = newest_checkpoint(folder)
    assert (newest[1] if newest else 0) >= steps


def _small_root(folder: Path) -> None:
    """Write a root of noise, whose frames hold all that `prepare` copies."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        name = f"aachen_000000_{19 if split == 'train' else 20:06d}"

        def path(kind: str, ending: str, split: str = split, name: str = name) -> Path:
            file = folder / "root" / kind / split / "aachen" / f"{name}_{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            return file

        labels = rng.choice(np.array([7, 11, 23], np.uint8), (16, 32))
        write_png(path("leftImg8bit", "leftImg8bit.png"), rng.integers(0, 256, (16, 32, 3), dtype=np.uint8))
        write_png(path("gtFine", "gtFine_labelIds.png"), labels)
        write_png(path("gtFine", "gtFine_instanceIds.png"), labels.astype(np.uint16))
        write_png(path("disparity", "disparity.png"), rng.integers(1, 9999, (16, 32), dtype=np.uint16))
    write_text(folder / "root" / "streets.json", "{}")


def _prepare(packed: bool) -> Callable[[Path, Callable[[], None]], None]:
    def run(folder: Path, done: Callable[[], None]) -> None:
        if not (folder / "out").exists():
            prepare(str(folder / "root"), folder / "out", (8, 16), packed)
        done()

    return run


def _generate(folder: Path, done: Callable[[], None]) -> None:
    if not (folder / "out").exists():
        generate(folder / "out", 1, 1, 64, 128, seed=0, processes=1, samples_page=False)
    done()


def _sweep(folder: Path, done: Callable[[], None]) -> None:
    def execute(config: object, run: Path) -> object:
        run.mkdir(exist_ok=True)
        write_text(run / "config.yaml", "started")
        return fake_result(config)  # type: ignore[arg-type]

    with (
        mock.patch.object(study_module, "execute", execute),
        mock.patch.object(study_module, "hash_of_data", return_value="d"),
    ):
        study = Study(folder, "smoke", 1, "data")
        run_study(table1, study)
    make_page(table1, study).write(folder / "page.md")
    done()


def _model(folder: Path) -> None:
    SceneModel.default("cpu").save(folder / "model")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(3):
        write_png(folder / "images" / f"{number}.png", rng.integers(0, 256, (16, 32, 3), dtype=np.uint8))


def _command(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        status = main(arguments)
    assert status == 0, errors.getvalue()


def _predict(folder: Path, done: Callable[[], None]) -> None:
    options = ["--model", str(folder / "model"), "--out", str(folder / "out"), "--device", "cpu", "--height", "32"]
    _command("predict", str(folder / "images"), *options, "--resume")
    done()


def _root_of_streets(folder: Path) -> None:
    generate(folder / "root", 2, 1, 64, 128, seed=0, processes=1, samples_page=False)


def _train(folder: Path, done: Callable[[], None]) -> None:
    _command(
        *("train", "--preset", "tiny", "--data", str(folder / "root"), "--out", str(folder / "run")),
        *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
        *("--batch-size", "2", "--crop", "32x64", "--workers", "0", "--accelerator", "cpu", "--resume-or-start"),
        *("--iterations", "6", "--validate-every", "2", "--checkpoint-every", "1", "--log-every", "1"),
    )
    done()


def _weights(folder: Path) -> Digest:
    run = folder / "run"
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in _MODELS}
    state = read_checkpoint(checkpoint_path(run))
    for name, value in state["state_dict"].items():
        found[name] = hashlib.sha256(value.numpy().tobytes()).hexdigest()
    return found | {"step": str(state["global_step"])}


_MODELS = ("model.json", "model.safetensors", "best/model.json", "best/model.safetensors")
JOBS: dict[str, Job] = {
    "folders": Job(_write_folders, files, _check_folders),
    "checkpoints": Job(
        _save_checkpoints, lambda folder: {"step": str(newest_checkpoint(folder))[-3:]}, _check_checkpoints
    ),
    "preparation": Job(_prepare(packed=False), files, prepare=_small_root),
    "packing": Job(_prepare(packed=True), files, prepare=_small_root),
    "generation": Job(_generate, lambda folder: files(folder, r"streets\.json")),
    "sweep": Job(_sweep, files),
    "prediction": Job(_predict, files, prepare=_model),
    "training": Job(_train, _weights, prepare=_root_of_streets),
}
"""The jobs by name."""


def kill_and_resume(job: Job, template: Path, place: Path, expected: Digest, kill: Callable[[Path], int]) -> None:
    """Kill a job in a copy of its folder, run it again to its end, and compare.

    Args:
        job: The job.
        template: What `prepare` made.
        place: Folder to make.
        expected: The digest of a job that nobody has killed.
        kill: Runs the job in another process, kills it and returns the number of reported steps.
    """
    shutil.copytree(template, place)
    job.check(place, kill(place))
    job.run(place, lambda: None)
    assert job.digest(place) == expected
    assert not strays(place)
    shutil.rmtree(place)


def moments(rng: random.Random, seconds: float, operations: int) -> tuple[float | None, int]:
    """Return when to kill: after so many seconds, or before an operation on the disk; half of each."""
    if rng.random() < 0.5:
        return rng.uniform(0, seconds), 0
    return None, rng.randint(1, max(1, operations))
