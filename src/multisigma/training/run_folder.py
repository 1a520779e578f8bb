"""The files of a run folder: configuration, checkpoints, and the description made before the first iteration."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.label_space import LabelSpace
from multisigma.errors import MultisigmaError
from multisigma.files import write_text
from multisigma.models import complexity
from multisigma.progress import Progress
from multisigma.tasks import load_tasks
from multisigma.training.baselines import require_labels, write_baselines
from multisigma.training.config import LABELLED, TrainConfig
from multisigma.training.environment import describe_environment

if TYPE_CHECKING:
    from multisigma.training.scene_module import SceneModule

# Options that a resumed run may change. With the same data and device, the trained weights do not depend on them.
_MAY_DIFFER = {"data", "workers", "accelerator", "validation_frames", "validate_every", "checkpoint_every", "log_every"}


def check_run_folder(config: TrainConfig, run: Path, resume: bool) -> None:
    """Raise `MultisigmaError` where the folder does not fit the request; see `train`.

    A resumed run has its tasks already, so that 'labelled' does not differ from them.
    """
    stored = run / "config.yaml"
    if not resume:
        if stored.is_file():
            raise MultisigmaError(f"{run}: holds a run already; go on with --resume, or name another --out.")
        return
    if not stored.is_file():
        raise MultisigmaError(f"{run}: there is no run to resume (no config.yaml); train without --resume.")
    before = TrainConfig.from_yaml(stored)
    different = [
        f"--{f.name.replace('_', '-')} {getattr(config, f.name)} (was {getattr(before, f.name)})"
        for f in dataclasses.fields(config)
        if f.name not in _MAY_DIFFER
        and getattr(config, f.name) != getattr(before, f.name)
        and not (f.name == "tasks" and config.tasks == LABELLED)
    ]
    if different:
        raise MultisigmaError(f"{run}: a resumed run keeps its configuration; it differs in {', '.join(different)}.")


def describe_run(
    folder: Path,
    config: TrainConfig,
    module: SceneModule,
    train_data: SceneDataset,
    val_data: SceneDataset | None,
    progress: Progress,
) -> None:
    """Write what is known before the first iteration: configuration, classes, environment, network, baselines.

    Reads every frame of training and validation once, so that a fault in the data shows now and not after hours.
    """
    write_text(folder / "config.yaml", config.to_yaml())
    write_text(folder / "labels.json", json.dumps(module.labels.to_json(), indent=1, ensure_ascii=False))
    labelled = write_baselines(folder / "baselines.npz", module.tasks, train_data, val_data, config.workers, progress)
    require_labels(config, module.tasks, labelled, train_data)
    first_frame = train_data.read(0, ["image"])
    size = (config.crop.height, config.crop.width) if config.crop else first_frame.size
    # Mostly padding, and a slip of one digit takes all memory.
    if all(side > 2 * config.scale_max * whole for side, whole in zip(size, first_frame.size, strict=True)):
        height, width = first_frame.size
        raise MultisigmaError(
            f"Option --crop must be at most twice the largest scaled frame. Found {config.crop}, for frames of "
            f"{height}x{width} and --scale-max {config.scale_max}. Choose a smaller one."
        )
    parts = [dataclasses.asdict(part) for part in complexity(module.network, *size)]
    write_text(folder / "network.json", json.dumps(parts, indent=2))
    environment = describe_environment() | {
        "command": shlex.join(["multisigma", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "training frames": len(train_data),
        "validation frames": 0 if val_data is None else len(val_data),
    }
    write_text(folder / "environment.json", json.dumps(environment, indent=2))


def checkpoint_path(run: Path, name: str = "last") -> Path:
    """Return the path of a checkpoint: 'last', the run's newest state, or 'best'."""
    return run / "checkpoints" / f"{name}.ckpt"


def first_iteration(run: Path) -> int:
    """Return the iteration that the run's newest checkpoint goes on from; 0 without one. Raises `MultisigmaError`."""
    path = checkpoint_path(run)
    if not path.is_file():
        return 0
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:
        raise _unreadable_checkpoint(
            path, error, "Put the run's best.ckpt in its place, or remove it to train from the start."
        ) from error


def _unreadable_checkpoint(path: Path, error: Exception, remedy: str) -> MultisigmaError:
    # An EOFError has no message. The message of an UnpicklingError explains how to load unsafe files.
    reason: object = "the file ends too early" if isinstance(error, EOFError) else error
    if isinstance(error, pickle.UnpicklingError):
        reason = "it is damaged, or holds objects that could run code, and these are not loaded"
    return MultisigmaError(f"{path}: cannot be read as a checkpoint of this run: {reason}. {remedy}")


def read_run_config(run: Path) -> TrainConfig:
    """Read the configuration of a run. Raises `MultisigmaError` if the folder holds no run."""
    if not (run / "config.yaml").is_file():
        if run.is_file():
            raise MultisigmaError(
                f"{run}: a run must be a folder. Found a file. Name the folder that `train --out` made."
            )
        raise MultisigmaError(f"{run}: not a run folder (no config.yaml); `multisigma train --out {run}` makes one.")
    return TrainConfig.from_yaml(run / "config.yaml")


def load_module(run: Path, checkpoint: str = "last") -> SceneModule:
    """Load the trained module of a run, in evaluation mode.

    Raises:
        MultisigmaError: The folder holds no run, or no such checkpoint, or one that cannot be read.
    """
    # Here, because what else needs a run folder does without Lightning, whose import takes seconds.
    from multisigma.training.scene_module import SceneModule

    config = read_run_config(run)
    path = checkpoint_path(run, checkpoint)
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.ckpt")))
        remedy = "Choose one of them" if there else f"Go on with it: multisigma train --resume --out {run}"
        raise MultisigmaError(f"{run}: the run has no checkpoint {checkpoint!r}. Found {there or 'none'}. {remedy}.")
    tasks = load_tasks(config.tasks.values, config.task_options)
    module = SceneModule(config, tasks, _read_labels(run / "labels.json"), pretrained=False)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
    except Exception as error:
        raise _unreadable_checkpoint(path, error, "Evaluate another with --checkpoint, or restore this one.") from error
    return module.eval()


def _read_labels(path: Path) -> LabelSpace:
    try:
        return LabelSpace.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, MultisigmaError) as error:
        raise MultisigmaError(
            f"{path}: must hold the run's classes. Found a fault: {error}. Restore it, or train the run again."
        ) from error
