"""One training run: configuration in, a run folder out."""

import dataclasses
import io
import json
import logging
import shlex
import sys
import time
import warnings
import zipfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from multisigma.datasets.augment import AugmentSettings
from multisigma.datasets.cityscapes import (
    KINDS,
    FrameFiles,
    count_labels,
    find_splits,
    list_frames,
    read_frame,
    unlabelled,
)
from multisigma.datasets.frame import Frame
from multisigma.datasets.module import (
    Batch,
    TrainingBatches,
    TrainingFrames,
    WholeFrames,
    readable_worker_errors,
    training_loader,
    whole_frame_loader,
)
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder, write_bytes, write_text
from multisigma.models import complexity
from multisigma.tasks import Task, load_tasks
from multisigma.training.config import TrainConfig
from multisigma.training.environment import describe_environment
from multisigma.training.model_files import write_model
from multisigma.training.scene_module import SceneModule

# Where a resumed run may differ from its beginning: none of these changes the result on one device.
_MAY_DIFFER = {"data", "workers", "accelerator", "validation_frames", "validate_every", "checkpoint_every", "log_every"}


def make_targets(tasks: Sequence[Task], frame: Frame) -> dict[str, Tensor]:
    """Each task's target for the frame, by task name."""
    return {task.name: task.target(frame) for task in tasks}


def evenly(files: Sequence[FrameFiles], most: int | None) -> list[FrameFiles]:
    """At most so many frames, evenly over the list; all of them for None."""
    if most is None or len(files) <= most:
        return list(files)
    return [files[i * len(files) // most] for i in range(most)]


def train(config: TrainConfig, run: Path, resume: bool = False) -> SceneModule:
    """Trains on the split 'train' of the data, and validates on 'val' where that split exists and has labels.

    Args:
        config: The run's configuration.
        run: The run folder. It receives `config.yaml`, `environment.json`, `network.json`, `baselines.npz`, `logs/`,
            `checkpoints/` (`last.ckpt` and `best.ckpt`), and at the end `model.json` and `model.safetensors`.
        resume: Go on from `checkpoints/last.ckpt`; from the start if the run was stopped before it wrote one.

    Returns:
        The trained module.

    Raises:
        MultisigmaError: The data or the configuration is at fault, or no task has a labelled pixel; the folder holds a
            run and `resume` is false, or it holds none, or one of another configuration, and `resume` is true.
    """
    tasks = load_tasks(config.tasks.values)
    # The processes that Lightning starts for further devices come here too, when the first has made the folder.
    first_process = getattr(rank_zero_only, "rank", 0) == 0
    if first_process:
        check_run_folder(config, run, resume)
    if not config.data:
        raise MultisigmaError("Option --data: the root of the data must be given.")
    root = Path(config.data)
    train_files = list_frames(root, "train", config.missing_labels)
    has_val = "val" in find_splits(root)
    val_files = evenly(list_frames(root, "val", config.missing_labels), config.validation_frames) if has_val else []
    if val_files and (problem := unlabelled(root, root / KINDS["image"].folder / "val", val_files)):
        if first_process:
            warn(f"{problem} There is no validation.")
        val_files = []

    lightning.seed_everything(config.seed, verbose=False)
    checkpoint = last_checkpoint(run) if resume and last_checkpoint(run).is_file() else None
    steps_per_epoch = max(1, round(len(train_files) / config.batch_size))
    module = SceneModule(config, tasks, checkpoint is None, steps_per_epoch)
    if first_process and not resume:
        with new_folder(run) as folder:
            describe_run(folder, config, module, train_files, val_files)

    trainer = make_trainer(config, run, bool(val_files), first_iteration(run) if resume else 0)
    training, validation = make_loaders(config, tasks, train_files, val_files, trainer)
    begin = time.perf_counter()
    with warnings.catch_warnings(), readable_worker_errors():
        # Batches follow from the iteration alone, so that the loader needs no state of its own to resume.
        warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=False)
        except SystemExit:
            # Lightning ends the process after an interruption.
            start = first_iteration(run)
            goes_on = f"goes on from iteration {start}, its last checkpoint" if start else "starts again"
            raise MultisigmaError(
                f"Interrupted at iteration {trainer.global_step}; `multisigma train --resume --out {run}` {goes_on}."
            ) from None
    trainer.save_checkpoint(last_checkpoint(run), weights_only=False)
    if trainer.is_global_zero:
        environment = json.loads((run / "environment.json").read_text())
        environment["training seconds"] = environment.get("training seconds", 0) + round(time.perf_counter() - begin)
        write_text(run / "environment.json", json.dumps(environment, indent=2))
        write_model(run, module, train_files, val_files)
    return module


def describe_run(
    folder: Path,
    config: TrainConfig,
    module: SceneModule,
    train_files: Sequence[FrameFiles],
    val_files: Sequence[FrameFiles],
) -> None:
    """Writes what is known before the first iteration: configuration, environment, network, baselines.

    Every frame is read once for the baselines, those of validation too, so that a fault in the data shows now
    and not after hours.
    """
    write_text(folder / "config.yaml", config.to_yaml())
    labelled = write_baselines(folder / "baselines.npz", module.tasks, train_files, val_files, config.workers)
    report_unlabelled(config, module.tasks, labelled, train_files)
    first_frame = read_frame(train_files[0])
    size = (config.crop.height, config.crop.width) if config.crop else first_frame.image.shape[:2]
    parts = [dataclasses.asdict(part) for part in complexity(module.network, *size)]
    write_text(folder / "network.json", json.dumps(parts, indent=2))
    environment = describe_environment() | {
        "command": shlex.join(["multisigma", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "training frames": len(train_files),
        "validation frames": len(val_files),
    }
    write_text(folder / "environment.json", json.dumps(environment, indent=2))


def make_loaders(
    config: TrainConfig,
    tasks: Sequence[Task],
    train_files: Sequence[FrameFiles],
    val_files: Sequence[FrameFiles],
    trainer: lightning.Trainer,
) -> tuple[DataLoader[Batch], DataLoader[tuple[Frame, Batch]] | None]:
    """This process's share of the training batches, from the trainer's iteration on, and of the validation frames."""
    rank, world_size = trainer.global_rank, trainer.world_size
    targets = partial(make_targets, tasks)
    augment = AugmentSettings(
        flip=config.flip,
        scale=(config.scale_min, config.scale_max),
        crop=(config.crop.height, config.crop.width) if config.crop else None,
    )
    batches = TrainingBatches(
        len(train_files),
        config.batch_size,
        config.iterations,
        config.seed,
        start=lambda: trainer.global_step,
        rank=rank,
        world_size=world_size,
    )
    training = training_loader(
        TrainingFrames(train_files, augment, targets, config.seed),
        batches,
        config.workers,
        pin_memory=torch.cuda.is_available(),
    )
    if not val_files:
        return training, None
    share = WholeFrames(val_files[rank::world_size], targets)
    return training, whole_frame_loader(share, min(config.workers, 1))


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps its newest state."""
    return run / "checkpoints" / "last.ckpt"


def first_iteration(run: Path) -> int:
    """The iteration that the run's newest checkpoint goes on from; 0 without one. Raises `MultisigmaError`."""
    path = last_checkpoint(run)
    if not path.is_file():
        return 0
    try:
        return int(torch.load(path, map_location="cpu", weights_only=False)["global_step"])
    except Exception as error:
        raise _unreadable_checkpoint(
            path, error, "Put the run's best.ckpt in its place, or remove it to train from the start."
        ) from error


def _unreadable_checkpoint(path: Path, error: Exception, remedy: str) -> MultisigmaError:
    # The error at the end of a file says nothing.
    reason = "the file ends too early" if isinstance(error, EOFError) else error
    return MultisigmaError(f"{path}: cannot be read as a checkpoint of this run: {reason}. {remedy}")


def check_run_folder(config: TrainConfig, run: Path, resume: bool) -> None:
    """Raises `MultisigmaError` where the folder does not fit: see `train`."""
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
        if f.name not in _MAY_DIFFER and getattr(config, f.name) != getattr(before, f.name)
    ]
    if different:
        raise MultisigmaError(f"{run}: a resumed run keeps its configuration; it differs in {', '.join(different)}.")


class ProgressBar(TQDMProgressBar):
    """Losses and sigmas beside one bar for the whole run; few lines where the output is no terminal."""

    def __init__(self, iterations: int) -> None:
        super().__init__(refresh_rate=max(1, iterations // (200 if sys.stderr.isatty() else 20)))

    def on_train_epoch_start(self, trainer: lightning.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description("training")

    def init_validation_tqdm(self) -> Tqdm:
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

    def get_metrics(self, *args: Any) -> dict[str, int | str | float | dict[str, float]]:
        return {k: f"{v:.3g}" for k, v in super().get_metrics(*args).items() if isinstance(v, float)}


def make_trainer(config: TrainConfig, run: Path, validate: bool, start: int) -> lightning.Trainer:
    """The Lightning trainer of a run that starts at an iteration; each start has a CSV log of its own."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    checkpoints = [
        ModelCheckpoint(
            run / "checkpoints", "last", every_n_train_steps=config.checkpoint_every, enable_version_counter=False
        )
    ]
    if validate:
        checkpoints.append(
            ModelCheckpoint(
                run / "checkpoints",
                "best",
                monitor="val/log_loss",
                save_on_train_epoch_end=False,
                enable_version_counter=False,
            )
        )
    workers = config.devices * config.nodes
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        precision=config.precision,
        # Statistics over all devices; torch has it for GPUs alone.
        sync_batchnorm=workers > 1 and torch.cuda.is_available() and config.accelerator != "cpu",
        max_steps=config.iterations,
        max_epochs=-1,
        val_check_interval=min(config.validate_every, config.iterations) if validate else None,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validate else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=[
            CSVLogger(run, "logs", f"csv/{start}", flush_logs_every_n_steps=1),
            TensorBoardLogger(run, "logs", "tensorboard"),
        ],
        log_every_n_steps=1,
        callbacks=[*checkpoints, ProgressBar(config.iterations)],
        enable_model_summary=False,
        deterministic="warn" if config.accelerator != "cpu" else True,
        benchmark=False,
    )


def write_baselines(
    path: Path,
    tasks: Sequence[Task],
    train_files: Sequence[FrameFiles],
    val_files: Sequence[FrameFiles],
    workers: int,
) -> set[str]:
    """Make every task's baseline from the training labels; reads the frames of validation for faults alone.

    Returns:
        The names of the tasks that have a labelled pixel; the others have no predictor.
    """
    predictors = {task.name: task.baseline() for task in tasks}
    loader = whole_frame_loader(WholeFrames([*train_files, *val_files], partial(make_targets, tasks)), workers)
    with readable_worker_errors():
        for index, (_, batch) in enumerate(
            track(loader, "reading all frames once", len(loader), console=Console(stderr=True), transient=True)
        ):
            if index < len(train_files):
                for name, target in batch["targets"].items():
                    predictors[name].update(target[0].numpy())
    predictions = {name: predictor.predict() for name, predictor in predictors.items()}
    buffer = io.BytesIO()
    labelled: dict[str, Any] = {name: value for name, value in predictions.items() if value is not None}
    np.savez_compressed(buffer, **labelled)
    write_bytes(path, buffer.getvalue())
    return set(labelled)


def report_unlabelled(
    config: TrainConfig, tasks: Sequence[Task], labelled: Collection[str], files: Sequence[FrameFiles]
) -> None:
    """Warns of each task that has nothing to learn from; raises `MultisigmaError` if that is all of them.

    Args:
        config: The run's configuration.
        tasks: The tasks that it names.
        labelled: The names of those that have a labelled training pixel.
        files: The frames of the training split.
    """
    messages = []
    rest = ",".join(option for option, task in zip(config.tasks.values, tasks, strict=True) if task.name in labelled)
    for task in tasks:
        if task.name in labelled:
            continue
        message = f"Task '{task.name}': no pixel is labelled in the {len(files)} frames of the split 'train'"
        remedy = "Add its labels"
        if task.kind:
            kind = KINDS[task.kind]
            count = count_labels(files)[task.kind]
            message += f"; found {count} files {config.data}/{kind.folder}/train/CITY/*{kind.ending}"
            remedy = "All their pixels are void: restore them" if count else f"Unzip {kind.package} into {config.data}"
        messages.append(f"{message}. {remedy}" + (f", or leave the task out with --tasks {rest}." if rest else "."))
    if not labelled:
        raise MultisigmaError("\n".join(messages))
    for message in messages:
        warn(message)


def warn(message: str) -> None:
    """Prints a warning on standard error."""
    Console(stderr=True).print(
        f"warning: {message}", style="bold yellow", markup=False, highlight=False, soft_wrap=True
    )


def read_baselines(run: Path) -> dict[str, NDArray[Any]]:
    """Read the baselines' predictions by task name, as `write_baselines` wrote them. Raises `MultisigmaError`."""
    path = run / "baselines.npz"
    try:
        with np.load(path) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MultisigmaError(
            f"{path}: cannot be read as baselines: {error}. Restore it, or train the run again."
        ) from error


def load_module(run: Path, checkpoint: str = "last") -> SceneModule:
    """The trained module of a run, in evaluation mode.

    Raises:
        MultisigmaError: The folder holds no run, or no such checkpoint, or one that cannot be read.
    """
    if not (run / "config.yaml").is_file():
        raise MultisigmaError(f"{run}: not a run folder (no config.yaml); `multisigma train --out {run}` makes one.")
    config = TrainConfig.from_yaml(run / "config.yaml")
    path = run / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise MultisigmaError(f"{path}: there is no such checkpoint; `multisigma train --resume --out {run}` goes on.")
    module = SceneModule(config, load_tasks(config.tasks.values), pretrained=False)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(content["state_dict"])
    except Exception as error:
        raise _unreadable_checkpoint(path, error, "Evaluate another with --checkpoint, or restore this one.") from error
    return module.eval()
