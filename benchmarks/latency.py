"""From an image file to instances and depth: what each part takes, exported and in PyTorch.

python benchmarks/latency.py FOLDER [--model RUN] [--threads 2] [--frames 20] > benchmarks/results/latency.json

FOLDER holds images whose width is twice their height.
Each is predicted by the exported model and by PyTorch, one after the other, after one image to
warm up. Parts are measured within the one call of `predict`. Wall time says what a user waits for, if the machine is
quiet; processor time, of all threads together, also tells on a machine that others use.

One network against three: networks of the same description with one task each and random weights, in PyTorch on one
thread. Memory is what a process holds beyond that of the model that describes them. Three networks that one process
runs one after the other use the same memory for their features; three at once, in a process each, cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from multisigma import OnnxSceneModel, SceneModel
from multisigma.datasets.photographs import find_inputs
from multisigma.models import onnx_scene_model, scene_predictor
from multisigma.models.export import export_model
from multisigma.training.environment import describe_environment

Seconds = dict[str, tuple[float, float]]
"""Wall and processor seconds of each part."""


class Parts:
    """Takes the time of calls."""

    def __init__(self) -> None:
        self.taken: Seconds = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        before = self.taken.get(name, (0.0, 0.0))
        self.taken[name] = before[0] + time.perf_counter() - wall, before[1] + time.process_time() - processor

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and adds its time to a part."""

        def call(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return call


def predict(model: Any, path: Path) -> Seconds:
    """Predict an image and return the time of each part."""
    parts = Parts()
    shared: Any = scene_predictor
    # The exported model has a fixed size.
    resizes: tuple[Any, str] = (
        (onnx_scene_model, "resize_image") if isinstance(model, OnnxSceneModel) else (shared, "to_height")
    )
    patches = [
        patch.object(shared, "read_photograph", parts.timed("decode", shared.read_photograph)),
        patch.object(*resizes, parts.timed("resize", getattr(*resizes))),
        patch.object(shared, "postprocess", parts.timed("post-processing", shared.postprocess)),
        *(patch.object(task, "postprocess", parts.timed(task.name, task.postprocess)) for task in model.tasks),
    ]
    for one in patches:
        one.start()
    with parts.part("total"):
        model.predict(path)
    for one in patches:
        one.stop()
    of_tasks = {task.name for task in model.tasks}
    return parts.taken | {
        "network": _rest(parts.taken, "total", {"decode", "resize", "post-processing"}),
        "results at the image's size": _rest(parts.taken, "post-processing", of_tasks),
    }


def _rest(taken: Seconds, whole: str, parts: set[str]) -> tuple[float, float]:
    wall, processor = (taken[whole][i] - sum(taken[name][i] for name in parts if name in taken) for i in (0, 1))
    return wall, processor


def quartiles(milliseconds: Any) -> list[float]:
    """Return the quartiles."""
    return [round(float(value), 2) for value in np.percentile(milliseconds, [25, 50, 75])]


def measure(models: dict[str, Any], images: list[Path]) -> dict[str, Any]:
    """Return the milliseconds of each part by model, and frames per second."""
    found: dict[str, list[Seconds]] = {name: [] for name in models}
    for number, path in enumerate([images[0], *images]):
        for name, model in models.items():
            taken = predict(model, path)
            if number:
                found[name].append(taken)
    result: dict[str, Any] = {}
    for name, rows in found.items():
        parts = {
            clock: {part: quartiles([1e3 * row[part][i] for row in rows]) for part in rows[0]}
            for i, clock in enumerate(("wall", "processor"))
        }
        frames = {f"frames/s by {clock} time": round(1e3 / of["total"][1], 1) for clock, of in parts.items()}
        result[name] = {"milliseconds, quartiles": parts, **frames}
    return result


def one_against_three(model: Path | None, tasks: Sequence[str], frames: int) -> dict[str, Any]:
    """Return time and memory of one network of all tasks and of networks of one task each."""
    result: dict[str, Any] = {}
    for name in ("one", "three", *tasks):
        command = [sys.executable, __file__, "--networks", name, "--frames", str(frames)]
        command += ["--model", str(model)] if model else []
        result[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    one, three = result["one"], result["three"]
    at_once = sum(result[name]["MiB"] for name in tasks)
    ratio = {key: round(one[key] / three[key], 3) for key in one}
    return result | {"ratio": ratio | {"MiB of three at once": round(one["MiB"] / at_once, 3)}}


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def run_networks(name: str, model: SceneModel, frames: int) -> dict[str, float]:
    """Return what networks take on one thread: processor time, memory of the process, and parameters.

    Args:
        name: 'one' for one network of all tasks, 'three' for one of each task, or a task for its network alone.
        model: Describes them.
        frames: Predictions to time.
    """
    info, before = model.info, resident_bytes()
    groups = [model.tasks] if name == "one" else [[task] for task in model.tasks if name in ("three", task.name)]
    networks = [
        SceneModel(
            replace(
                info,
                tasks=tuple(task.name for task in group),
                outputs={task.name: info.outputs[task.name] for task in group},
            ),
            group,
        ).eval()
        for group in groups
    ]
    torch.set_num_threads(1)
    image = torch.randint(0, 256, (1, 3, info.working_height, 2 * info.working_height), dtype=torch.uint8)
    taken = []
    with torch.inference_mode():
        for _ in range(frames + 1):
            begin = time.process_time()
            for network in networks:
                network(image)
            taken.append(time.process_time() - begin)
    memory = resident_bytes() - before
    return {
        "processor milliseconds": round(1e3 * float(np.median(taken[1:])), 2),
        "MiB": round(memory / 2**20, 1),
        "million parameters": round(sum(p.numel() for one in networks for p in one.parameters()) / 1e6, 2),
    }


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", type=Path, help="a run or a saved model; the shipped one if not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--networks", help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = SceneModel.load(options.model, "cpu") if options.model else SceneModel.default("cpu")
    if options.networks:
        print(json.dumps(run_networks(options.networks, model, options.frames)))
        return
    if options.folder is None:
        parser.error("FOLDER must be given")
    torch.set_num_threads(options.threads)
    images = list(find_inputs([options.folder]).values())[: options.frames]
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        export_model(model, exported, (model.info.working_height, 2 * model.info.working_height))
        models = {"onnxruntime": OnnxSceneModel.load(exported, options.threads), "PyTorch": model}
        result = measure(models, images)
    against = one_against_three(options.model, [task.name for task in model.tasks], options.frames)
    load.append(os.getloadavg()[0])
    described = {
        "frames": len(images),
        "threads": options.threads,
        "environment": describe_environment() | {"onnxruntime": version("onnxruntime")},
        "load of the machine before and after": [round(value, 1) for value in load],
    }
    print(json.dumps(described | result | {"one network against three": against}, indent=1))


if __name__ == "__main__":
    main()
