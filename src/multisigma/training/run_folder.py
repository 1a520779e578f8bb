"""The files of a run folder: configuration, checkpoints, and the description made before the first iteration."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from multisigma.claims import Claims
from multisigma.class_paths import is_foreign
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.open import layout_of
from multisigma.errors import MultisigmaError
from multisigma.files import read_text, remove_leftovers, write_text
from multisigma.models.complexity import complexity
from multisigma.progress import Progress
from multisigma.tasks import load_tasks
from multisigma.training.baselines import require_labels, write_baselines
from multisigma.training.config import LABELLED, TrainConfig
from multisigma.training.environment import describe_environment

if TYPE_CHECKING:
    from multisigma.training.scene_module import SceneModule

_log = logging.getLogger(__name__)
# Seconds between looks at a claim of another machine.
_POLL = 2.0
# Options that a resumed run may change. With the same data and device, the trained weights do not depend on them.
_MAY_DIFFER = {
    "data",
    "workers",
    "accelerator",
    "validation_frames",
    "validate_every",
    "checkpoint_every",
    "log_every",
} | {"damaged_frames"}


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


@contextmanager
def claim_run(run: Path) -> Iterator[None]:
    """Keep other processes from training into the folder until the context ends.

    A claim of another machine may be left by a job that was killed there, so its heartbeat is awaited.

    Raises:
        MultisigmaError: Another process trains into it, or its parent folder cannot be written.
    """
    place = run.absolute()
    lock = place.with_name(f".{place.name}.lock")
    claims, begin = Claims(), time.monotonic()
    with ExitStack() as stack:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(place.parent)
            while not stack.enter_context(claims.claim(lock)):
                waited = time.monotonic() - begin
                if claims.is_local(lock) or waited > claims.stale + 2 * claims.beat:
                    raise MultisigmaError(
                        f"{run}: another process trains into this folder; {lock} names it. Wait for it, stop it, or "
                        "name another --out."
                    )
                if waited < _POLL:
                    _log.info("%s: a process of another machine has claimed this run; waiting for its next sign", run)
                time.sleep(_POLL)
        except OSError as error:
            raise MultisigmaError(f"{place.parent}: cannot be written: {error.strerror or error}.") from error
        yield


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


def read_run_config(run: Path) -> TrainConfig:
    """Read the configuration of a run. Raises `MultisigmaError` if the folder holds no run."""
    if not (run / "config.yaml").is_file():
        if run.is_file():
            raise MultisigmaError(
                f"{run}: a run must be a folder. Found a file. Name the folder that `train --out` made."
            )
        raise MultisigmaError(f"{run}: not a run folder (no config.yaml); `multisigma train --out {run}` makes one.")
    return TrainConfig.from_yaml(run / "config.yaml")


def require_trust(config: TrainConfig, where: object, typed: str | None = None) -> None:
    """Raise `MultisigmaError` if a configuration names code that is not this package's, which its use would run.

    Args:
        config: The configuration.
        where: Where it comes from, for the message.
        typed: What the user has typed, which is trusted; then the configuration's data, which may be a class, counts
            too. None if its data is not used.
    """
    named = [name for name in (*config.tasks.values, config.weighting) if is_foreign(name)]
    if typed is not None:
        named += [config.data] if layout_of(config.data) == "class" else []
        named = [name for name in named if name not in typed]
    if named:
        raise MultisigmaError(
            f"{where}: its use runs code of its author. Found {named[0]!r}, which is not built in. If you trust it, "
            "give --trust-code, or in Python trust_code=True."
        )


def load_module(run: Path, checkpoint: str = "last", trust_code: bool = False) -> SceneModule:
    """Load the trained module of a run, in evaluation mode.

    Args:
        run: The run folder.
        checkpoint: 'last' or 'best'.
        trust_code: Import the run's own tasks and weighting, which runs their author's code.

    Raises:
        MultisigmaError: The folder holds no run, or no such checkpoint, or one that cannot be read; or `trust_code` is
            false and the run has tasks or a weighting that are not built in.
    """
    # Here, because what else needs a run folder does without Lightning, whose import takes seconds.
    from multisigma.training.checkpoints import checkpoint_path, read_checkpoint
    from multisigma.training.scene_module import SceneModule

    config = read_run_config(run)
    if not trust_code:
        require_trust(config, run)
    path = checkpoint_path(run, checkpoint)
    if not path.is_file():
        there = ", ".join(name for name in ("best", "last") if checkpoint_path(run, name).is_file())
        remedy = "Choose one of them" if there else f"Go on with it: multisigma train --resume --out {run}"
        raise MultisigmaError(f"{run}: the run has no checkpoint {checkpoint!r}. Found {there or 'none'}. {remedy}.")
    tasks = load_tasks(config.tasks.values, config.task_options)
    module = SceneModule(config, tasks, _read_labels(run / "labels.json"), pretrained=False)
    remedy = "Evaluate another with --checkpoint, or restore this one."
    try:
        module.load_state_dict(read_checkpoint(path)["state_dict"])
    except MultisigmaError as error:
        raise MultisigmaError(f"{error} {remedy}") from error
    except Exception as error:
        raise MultisigmaError(f"{path}: does not fit the run's network: {error}. {remedy}") from error
    return module.eval()


def _read_labels(path: Path) -> LabelSpace:
    try:
        return LabelSpace.from_json(json.loads(read_text(path)))
    except (OSError, ValueError, RecursionError, MultisigmaError) as error:
        raise MultisigmaError(
            f"{path}: must hold the run's classes. Found a fault: {error}. Restore it, or train the run again."
        ) from error
