"""One run of an experiment: train, evaluate on the split 'val', and keep what tables and plots need."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import multisigma
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.evenly import evenly
from multisigma.datasets.open import find_splits, open_dataset
from multisigma.errors import DivergenceError, Interrupted, MultisigmaError
from multisigma.experiments.gradients import GradientProbe
from multisigma.experiments.results import Curves, Result
from multisigma.training.config import TrainConfig
from multisigma.training.environment import describe_environment
from multisigma.training.evaluate import evaluate
from multisigma.training.scene_module import SceneModule
from multisigma.training.train import train
from multisigma.visualization.curves import read_log

_COLUMNS = ("loss/", "weight/", "sigma/", "val/")
_CODE = ("weighting", "instances", "datasets", "metrics", "tasks", "models", "training")
_HASHED_FRAMES = 16

AfterTraining = Callable[[SceneModule, Path], None]
"""Called with the trained module and the run folder."""


def execute(config: TrainConfig, run: Path, after: AfterTraining | None = None) -> Result:
    """Train and evaluate one configuration; a run that was stopped goes on from its last checkpoint.

    Args:
        config: The configuration, with its data and seed.
        run: Folder for the run; whoever keeps the result removes it.
        after: Called at the end.

    Raises:
        MultisigmaError: The data or the configuration is at fault. A training that diverges gives a result.
    """
    begin = time.perf_counter()
    probe = GradientProbe(config.iterations)
    provenance: dict[str, Any] = {
        "data": hash_of_data(config.data),
        "code": hash_of_code(),
        "finished": "",
        "threads": torch.get_num_threads(),
    } | describe_environment()
    try:
        module = _train(config, run, probe)
        if after:
            after(module, run)
        found = evaluate(run, config.data, pictures=0, trust_code=True)
        tasks = [task.name for task in module.tasks]
        # The first metric of a task has its main number.
        first = {
            task: next((name for name in found.evaluation.counts if name.startswith(f"{task}/")), "") for task in tasks
        }
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        parts = json.loads((run / "network.json").read_text(encoding="utf-8"))
        result = Result(
            config,
            None,
            found.evaluation.measurements,
            {
                task: {frame: counts for frame, counts in found.evaluation.counts[name].items() if counts}
                for task, name in first.items()
                if name
            },
            found.labels,
            _curves(run),
            probe.rows,
            provenance
            | {
                "training_seconds": environment["training seconds"],
                "parameters": sum(part["parameters"] for part in parts),
                "multiply_adds": sum(part["multiply_adds"] for part in parts),
                "peak_memory_mb": _peak_memory(),
            },
        )
    except DivergenceError as error:
        # Results go to other machines, so they name no folder of this one.
        failure = str(error).replace(str(run), "RUN")
        result = Result(config, failure, curves=_curves(run), gradients=probe.rows, provenance=provenance)
    finished = {"finished": datetime.now(UTC).isoformat(timespec="seconds")}
    seconds = {"seconds": round(time.perf_counter() - begin, 1)}
    return replace(result, provenance=dict(result.provenance) | finished | seconds)


def _train(config: TrainConfig, run: Path, probe: GradientProbe) -> SceneModule:
    if (run / "config.yaml").is_file():
        try:
            return train(config, run, resume=True, callbacks=[probe])
        except (Interrupted, DivergenceError):
            raise
        except MultisigmaError:
            # Its checkpoints may be damaged.
            probe.rows.clear()
    shutil.rmtree(run, ignore_errors=True)
    return train(config, run, callbacks=[probe])


def _curves(run: Path) -> Curves:
    """Return what the run logged, without what follows from it."""
    return {
        name: (steps.tolist(), values.tolist())
        for name, (steps, values) in read_log(run).items()
        if name.startswith(_COLUMNS)
    }


def _peak_memory() -> int | None:
    """Return the most memory of the accelerator that this process has held, in MB; None on a CPU."""
    return torch.cuda.max_memory_allocated() // 2**20 if torch.cuda.is_available() else None


@functools.cache
def hash_of_data(data: str) -> str:
    """Return a hash of the splits 'train' and 'val', as far as they exist.

    It covers the names of all frames, and the content of some, evenly over the split.
    The same frames in another layout have the same hash.
    """
    digest = hashlib.sha256()
    for split in sorted({"train", "val"} & set(find_splits(data))):
        dataset = open_dataset(data, split)
        digest.update(f"{split} {[dataset.name(i) for i in range(len(dataset))]}".encode())
        for i in evenly(range(len(dataset)), _HASHED_FRAMES):
            _hash_frame(digest, dataset, i)
    return digest.hexdigest()[:16]


def _hash_frame(digest: Any, dataset: SceneDataset, i: int) -> None:
    frame = dataset.read(i)
    for name, found in sorted(frame.fields.items()):
        digest.update(name.encode())
        for part in getattr(found, "__slots__", None) or vars(found):
            value = getattr(found, part)
            if isinstance(value, np.ndarray):
                digest.update(np.ascontiguousarray(value).tobytes())


@functools.cache
def hash_of_code() -> str:
    """Return a hash of the code that a result depends on."""
    root = Path(multisigma.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for part in _CODE for path in (root / part).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
