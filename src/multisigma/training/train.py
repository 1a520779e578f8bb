"""Train one run: from a configuration to a run folder."""

import json
import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only

from multisigma.datasets.dataset import SceneDataset, unlabelled
from multisigma.datasets.evenly import evenly
from multisigma.datasets.module import readable_worker_errors
from multisigma.datasets.open import find_splits, open_dataset
from multisigma.errors import MultisigmaError
from multisigma.files import new_folder, write_text
from multisigma.models.transfer import transfer_weights
from multisigma.progress import SILENT, Progress
from multisigma.tasks import load_tasks
from multisigma.training.baselines import labelled_tasks
from multisigma.training.config import LABELLED, Names, TrainConfig
from multisigma.training.loaders import make_loaders
from multisigma.training.model_files import model_folder, write_model
from multisigma.training.run_folder import check_run_folder, checkpoint_path, describe_run, first_iteration, load_module
from multisigma.training.scene_module import SceneModule
from multisigma.training.trainer import make_trainer

_log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    run: Path,
    resume: bool = False,
    progress: Progress = SILENT,
    callbacks: Sequence[lightning.Callback] = (),
) -> SceneModule:
    """Train on the split 'train' of the data, and validate on 'val' where that split exists and has labels.

    Args:
        config: The run's configuration. Its seed and its threads become those of the whole process.
        run: The run folder. It gets `config.yaml`, `environment.json`, `network.json`, `baselines.npz`, `logs/`,
            `checkpoints/` (`last.ckpt` and `best.ckpt`), and at the end `model.json` and `model.safetensors`,
            also for the best checkpoint in `best/`.
        resume: Whether to continue from `checkpoints/last.ckpt`, or from the start if there is none yet.
        progress: Is told the number of finished iterations, the losses and the sigmas.
        callbacks: Further Lightning callbacks.

    Returns:
        The trained module.

    Raises:
        MultisigmaError: The data or the configuration is at fault, or a task has no labelled pixel; `resume` is false
            and the folder holds a run; or `resume` is true and it holds none, or one of another configuration.
    """
    # Lightning runs this function again in a process for each further device, after the first has made the folder.
    first_process = getattr(rank_zero_only, "rank", 0) == 0
    if first_process:
        check_run_folder(config, run, resume)
    if not config.data:
        raise MultisigmaError("Option --data: the root of the data must be given.")
    train_data = open_dataset(config.data, "train", config.missing_labels)
    if config.tasks == LABELLED:
        config = replace(config, tasks=_tasks_of(run, train_data, resume, first_process))
    tasks = load_tasks(config.tasks.values, config.task_options)
    val_data = None
    if "val" in find_splits(config.data):
        val_data = open_dataset(config.data, "val", config.missing_labels)
        val_data = val_data.subset(evenly(range(len(val_data)), config.validation_frames))
    if val_data is not None and (problem := unlabelled(val_data, config.data, "val")):
        if first_process:
            _log.warning(f"{problem} There is no validation.")
        val_data = None
    if val_data is not None and len(val_data) < config.devices * config.nodes:
        raise MultisigmaError(
            f"Option --devices must be at most the number of frames of a validation, {len(val_data)}. Found "
            f"{config.devices * config.nodes} over all nodes. Take fewer devices, or more frames (--validation-frames)."
        )

    if config.threads:
        torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)
    checkpoint = checkpoint_path(run) if resume and checkpoint_path(run).is_file() else None
    steps_per_epoch = max(1, round(len(train_data) / config.batch_size))
    module = SceneModule(config, tasks, train_data.labels, checkpoint is None, steps_per_epoch)
    if config.init and checkpoint is None:
        per_class = [task.name for task in tasks if task.per_class]
        done = transfer_weights(module.network, Path(config.init), config.encoder, train_data.labels, per_class)
        if first_process:
            _log.info("from %s: %s", config.init, done)
    # Before the run folder is made, so that a fault in the options leaves no folder behind.
    trainer = make_trainer(
        config, run, val_data is not None, first_iteration(run) if resume else 0, progress, callbacks
    )
    if first_process and not resume:
        with new_folder(run) as folder:
            describe_run(folder, config, module, train_data, val_data, progress)

    if first_process:
        _log.info("computing on %s", trainer.strategy.root_device)
    training, validation = make_loaders(config, tasks, train_data, val_data, trainer)
    begin = time.perf_counter()
    with warnings.catch_warnings(), readable_worker_errors():
        # Batches depend only on the iteration, so the loader needs no state to resume.
        warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")
        # From Lightning's own code.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            # Lightning ends the process after an interruption.
            start = first_iteration(run)
            goes_on = f"goes on from iteration {start}, its last checkpoint" if start else "starts again"
            raise MultisigmaError(
                f"Interrupted at iteration {trainer.global_step}; `multisigma train --resume --out {run}` {goes_on}."
            ) from None
    trainer.save_checkpoint(checkpoint_path(run), weights_only=False)
    if trainer.is_global_zero:
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        environment["training seconds"] = environment.get("training seconds", 0) + round(time.perf_counter() - begin)
        write_text(run / "environment.json", json.dumps(environment, indent=2))
        write_model(run, module, train_data, val_data)
        if val_data is not None and checkpoint_path(run, "best").is_file():
            write_model(model_folder(run, "best"), load_module(run, "best"), train_data, val_data)
    return module


def _tasks_of(run: Path, train_data: SceneDataset, resume: bool, warn: bool) -> Names:
    """Return the tasks of `--tasks labelled`: those of the run to resume, or else those with labels."""
    if resume:
        return TrainConfig.from_yaml(run / "config.yaml").tasks
    tasks, messages = labelled_tasks(train_data)
    for message in messages if warn else ():
        _log.warning(message)
    return tasks
