"""Train one run: from a configuration to a run folder."""

import json
import logging
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import safetensors.torch
import torch
from lightning.pytorch.utilities import rank_zero_only

from multisigma.datasets.dataset import ReadableFrames, SceneDataset, unlabelled
from multisigma.datasets.evenly import evenly
from multisigma.datasets.module import readable_worker_errors
from multisigma.datasets.open import find_splits, open_dataset
from multisigma.errors import DivergenceError, Interrupted, MultisigmaError
from multisigma.files import new_folder, read_text, remove_leftovers, write_bytes, write_text
from multisigma.models.scene_model import named_folder
from multisigma.models.transfer import transfer_weights
from multisigma.progress import SILENT, Progress
from multisigma.signals import exit_status
from multisigma.tasks import load_tasks
from multisigma.training.baselines import labelled_tasks
from multisigma.training.checkpoints import LastCheckpoint, checkpoint_path, newest_checkpoint, set_damaged_aside
from multisigma.training.config import LABELLED, Names, TrainConfig
from multisigma.training.loaders import make_loaders
from multisigma.training.model_files import model_folder, write_model
from multisigma.training.run_folder import check_run_folder, claim_run, describe_run, load_module
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
            `checkpoints/` (`last.ckpt`, the one before it, `previous.ckpt`, and `best.ckpt`), and at the end
            `model.json` and `model.safetensors`, also for the best checkpoint in `best/`.
        resume: Whether to continue from the newest checkpoint that can be read, or from the start without one.
        progress: Is told the number of finished iterations, the losses and the sigmas.
        callbacks: Further Lightning callbacks.

    Returns:
        The trained module.

    Raises:
        MultisigmaError: The data or the configuration is at fault, or a task has no labelled pixel; `resume` is false
            and the folder holds a run; or `resume` is true and it holds none, or one of another configuration; or
            another process trains into the folder; or the disk is full.
        Interrupted: A signal stopped the training.
    """
    # Lightning runs this function again in a process for each further device, after the first has made the folder.
    first_process = getattr(rank_zero_only, "rank", 0) == 0
    with claim_run(run) if first_process else nullcontext():
        return _train(config, run, resume, progress, callbacks, first_process)


def _train(
    config: TrainConfig,
    run: Path,
    resume: bool,
    progress: Progress,
    callbacks: Sequence[lightning.Callback],
    first_process: bool,
) -> SceneModule:
    if first_process:
        check_run_folder(config, run, resume)
        if resume:
            for folder in (run, checkpoint_path(run).parent, model_folder(run, "best")):
                remove_leftovers(folder)
    if not config.data:
        raise MultisigmaError("Option --data: the root of the data must be given.")
    train_data = open_dataset(config.data, "train", config.missing_labels)
    if config.damaged_frames == "skip":
        train_data = ReadableFrames(train_data)
    if config.tasks == LABELLED:
        config = replace(config, tasks=_tasks_of(run, train_data, resume, first_process))
    tasks = load_tasks(config.tasks.values, config.task_options)
    val_data = None
    if config.validation_frames != 0 and "val" in find_splits(config.data):
        val_data = open_dataset(config.data, "val", config.missing_labels)
        if config.damaged_frames == "skip":
            val_data = ReadableFrames(val_data)
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
    newest = newest_checkpoint(run) if resume else None
    checkpoint, start = newest or (None, 0)
    if checkpoint and start > config.iterations:
        raise MultisigmaError(
            f"{checkpoint}: must be of an iteration up to {config.iterations}, the run's last. Found {start}. "
            "Restore it."
        )
    steps_per_epoch = max(1, round(len(train_data) / config.batch_size))
    module = SceneModule(config, tasks, train_data.labels, checkpoint is None, steps_per_epoch)
    if config.init and checkpoint is None:
        per_class = [task.name for task in tasks if task.per_class]
        done = transfer_weights(module.network, named_folder(config.init), config.encoder, train_data.labels, per_class)
        if first_process:
            _log.info("from %s: %s", config.init, done)
    # Before the run folder is made, so that a fault in the options leaves no folder behind.
    trainer = make_trainer(config, run, val_data is not None, start, progress, callbacks)
    if first_process and not resume:
        with new_folder(run) as folder:
            describe_run(folder, config, module, train_data, val_data, progress)
    if first_process and checkpoint:
        set_damaged_aside(run, checkpoint)
        # Iterations that are trained anew are logged anew.
        for logged in (run / "logs" / "csv").glob("*/"):
            if logged.name.isdecimal() and int(logged.name) > start:
                shutil.rmtree(logged)

    if first_process:
        _log.info("computing on %s", trainer.strategy.root_device)
        if checkpoint:
            _log.info("going on from iteration %d, %s", start, checkpoint)
    training, validation = make_loaders(config, tasks, train_data, val_data, trainer)
    begin = time.perf_counter()
    with warnings.catch_warnings(), readable_worker_errors():
        # Batches depend only on the iteration, so the loader needs no state to resume.
        warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")
        # From Lightning's own code.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated.*")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # Frozen layers are in evaluation mode on purpose.
        warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        with _readable_stops(trainer, run, checkpoint):
            trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=True)
    if trainer.is_global_zero:
        environment = _read_environment(run)
        environment["training seconds"] = environment.get("training seconds", 0) + round(time.perf_counter() - begin)
        if isinstance(train_data, ReadableFrames) and train_data.replaced:
            environment["damaged frames replaced"] = environment.get("damaged frames replaced", 0) + train_data.replaced
            _log.warning("%d times a damaged training frame was replaced by the next one", train_data.replaced)
        write_text(run / "environment.json", json.dumps(environment, indent=2))
        write_model(run, module, train_data, val_data)
        if val_data is not None and checkpoint_path(run, "best").is_file():
            try:
                best = load_module(run, "best", trust_code=True)
            except MultisigmaError as error:
                _log.warning("%s The run has no best model.", error)
            else:
                write_model(model_folder(run, "best"), best, train_data, val_data)
    return module


def _read_environment(run: Path) -> dict[str, Any]:
    """Read the description of the environment; empty if it cannot be read, because the training matters more."""
    try:
        return dict(json.loads(read_text(run / "environment.json")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        _log.warning("%s: cannot be read: %s. It is written anew.", run / "environment.json", error)
        return {}


@contextmanager
def _readable_stops(trainer: lightning.Trainer, run: Path, checkpoint: Path | None) -> Iterator[None]:
    """Say for people why a training stopped, and where it goes on."""
    last = next(found for found in trainer.checkpoint_callbacks if isinstance(found, LastCheckpoint))
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        # Lightning ends the process after an interruption.
        status = exit_status(last.signal or signal.SIGINT)
        raise Interrupted(f"Interrupted at iteration {trainer.global_step}; {_goes_on(run)}", status) from None
    except DivergenceError as error:
        place = _write_diverged_batch(trainer, run)
        raise DivergenceError(
            f"{error} This was iteration {trainer.global_step}; its batch is in {place}, and {_goes_on(run)}"
        ) from error
    except MultisigmaError:
        raise
    except torch.OutOfMemoryError as error:
        raise MultisigmaError(_memory_advice(trainer, error)) from error
    except OSError as error:
        raise MultisigmaError(
            f"{error.filename or run}: cannot be written: {error.strerror or error}. The training stopped at iteration "
            f"{trainer.global_step}. Make room; then {_goes_on(run)}"
        ) from error
    except Exception as error:
        if checkpoint is None or last.begun:
            raise
        raise MultisigmaError(
            f"{checkpoint}: does not fit this run: {error or type(error).__name__}. Restore it, or remove it."
        ) from error


def _write_diverged_batch(trainer: lightning.Trainer, run: Path) -> Path:
    """Write this process's batch, image and targets, as RUN/diverged.safetensors; return the path."""
    path = run / ("diverged.safetensors" if trainer.is_global_zero else f"diverged-{trainer.global_rank}.safetensors")
    module = trainer.lightning_module
    assert isinstance(module, SceneModule)
    batch = module.batch
    tensors = {"image": batch["image"]} | {f"target/{name}": target for name, target in batch["targets"].items()}
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(content, {"iteration": str(trainer.global_step)}))
    return path


def _memory_advice(trainer: lightning.Trainer, error: Exception) -> str:
    """Say how full the accelerator is, and which options take less."""
    module = trainer.lightning_module
    assert isinstance(module, SceneModule)
    config, device = module.config, module.device
    numbers = ""
    if device.type == "cuda":
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
        held, most = torch.cuda.memory_allocated(device) / 2**30, torch.cuda.max_memory_allocated(device) / 2**30
        numbers = (
            f" It has {total:.1f} GiB, of which {free:.1f} are free; this run held {held:.1f}, at most {most:.1f}."
        )
    share = max(1, config.batch_size // (config.devices * config.nodes))
    advice = [f"--batch-size {config.batch_size // 2}"] if share > 1 else []
    if config.crop:
        height, width = (max(32, side * 3 // 4 // 32 * 32) for side in (config.crop.height, config.crop.width))
        advice.append(f"--crop {height}x{width}, which takes about {height * width / config.crop.pixels:.0%}")
    advice += ["--precision bf16-mixed, which takes about half"] if config.precision == "32-true" else []
    advice += ["more --devices"]
    return (
        f"The memory of {device} is full at iteration {trainer.global_step}, with {share} frames of "
        f"{config.crop or 'their whole size'} on it.{numbers} Take any of: {'; '.join(advice)}. "
        f"PyTorch says: {str(error).splitlines()[0]}"
    )


def _goes_on(run: Path) -> str:
    newest = newest_checkpoint(run)
    goes_on = f"goes on from iteration {newest[1]}, its last checkpoint" if newest else "starts again"
    return f"`multisigma train --resume --out {run}` {goes_on}."


def _tasks_of(run: Path, train_data: SceneDataset, resume: bool, warn: bool) -> Names:
    """Return the tasks of `--tasks labelled`: those of the run to resume, or else those with labels."""
    if resume:
        return TrainConfig.from_yaml(run / "config.yaml").tasks
    tasks, messages = labelled_tasks(train_data)
    for message in messages if warn else ():
        _log.warning(message)
    return tasks
