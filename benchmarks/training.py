"""The step of training: what it costs, where the time goes, what each option gives, and a plain loop beside it.

python benchmarks/training.py --network demo [--threads 2] [--rounds 10] [--compile] \
    > benchmarks/results/training_demo.json

On generated streets: the preset `demo`, or `lite0`, EfficientNet-Lite0 at output stride 16 on batches of eight frames
of 256x512. In every round each variant has one step on the same batch, one after another; speed-ups are
ratios within a round. All variants keep freed memory, as the trainer does on a CPU; what this gives is measured
before. A step is forward, losses, weighting, backward, and the optimiser. Times are wall time with `--clock wall`,
processor time with `--clock processor`, which tells more on a machine that others use.

The whole step is what one iteration of `multisigma train` takes from the end of the last one: reading, augmentation,
targets, step, schedule, log and progress. The plain loop beside it, after each iteration, takes the next batch from a
loader of the same kind and makes the step with torch alone, on a copy of the network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from multisigma.datasets.augment import AugmentSettings
from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.module import Batch, TrainingBatches, TrainingFrames, training_loader
from multisigma.datasets.open import open_dataset
from multisigma.datasets.photometric import PhotometricSettings
from multisigma.datasets.prepare import prepare
from multisigma.synthetic import generate
from multisigma.tasks import load_tasks
from multisigma.training.config import PRESETS, Names, Size, TrainConfig
from multisigma.training.environment import describe_environment
from multisigma.training.loaders import make_targets
from multisigma.training.scene_module import SceneModule
from multisigma.training.schedule import make_optimizer
from multisigma.training.train import train
from multisigma.training.trainer import keep_freed_memory

# What the preset `demo` had until it trained an encoder with weights from ImageNet.
BEFORE: dict[str, Any] = {
    "encoder": "resnet10t",
    "encoder_weights": "none",
    "output_stride": 8,
    "frozen_stride": 0,
    "aspp_channels": 64,
    "dilations": Names("1", "12", "24", "36"),
    "decoder_channels": 64,
    "skip_channels": 0,
    "separable": False,
}
STRENGTHS = PhotometricSettings(0.7, 0.3, 0.12, 0.25, 0.35, 5, 0.3, 0.3, 0.3)


def configuration(name: str) -> TrainConfig:
    """Return the configuration of a network of this benchmark."""
    demo = replace(TrainConfig.from_yaml(PRESETS["demo"]), tasks=Names("semantic", "instance", "depth"))
    if name == "demo":
        return demo
    # Random weights take as long as pretrained ones.
    return replace(
        demo,
        encoder="tf_efficientnet_lite0",
        output_stride=16,
        aspp_channels=96,
        decoder_channels=96,
        batch_size=8,
        crop=Size(256, 512),
    )


def make_loader(config: TrainConfig, data: SceneDataset, photometric: PhotometricSettings | None = None) -> Any:
    """Return the batches of a run, read by this process."""
    assert config.crop is not None
    augment = AugmentSettings(
        config.flip, (config.scale_min, config.scale_max), (config.crop.height, config.crop.width)
    )
    targets = partial(make_targets, load_tasks(config.tasks.values))
    frames = TrainingFrames(data, augment, targets, config.seed, photometric)
    return training_loader(frames, TrainingBatches(len(data), config.batch_size, 10**6, config.seed), 0)


class Variant:
    """A network with its optimiser, trained in one of the ways."""

    def __init__(
        self,
        config: TrainConfig,
        data: SceneDataset,
        channels_first: bool = False,
        bfloat16: bool = False,
        compiled: bool = False,
        deterministic: bool = False,
        fill: bool = False,
    ) -> None:
        self.bfloat16, self.deterministic, self.fill = bfloat16, deterministic, fill
        torch.manual_seed(0)
        tasks = load_tasks(config.tasks.values)
        self.module = SceneModule(replace(config, compile=compiled), tasks, data.labels).train()
        if channels_first:
            self.module.network.to(memory_format=torch.contiguous_format)
        self.optimizer = make_optimizer(self.module.network, self.module.weighting, config)

    def step(self, batch: Batch) -> None:
        """Make one iteration on a batch."""
        torch.use_deterministic_algorithms(self.deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = self.fill  # type: ignore[attr-defined]
        module, size = self.module, batch["image"].shape[2:]
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext():
            shared = module.forward_features(batch["image"])
            objective = module.weighting(module.losses(module.forward_decoders(shared, size), batch), shared)
        objective.backward()
        self.optimizer.step()


class PlainLoop(lightning.Callback):
    """Makes, after each iteration of a run, one of a plain loop, and takes the time of both."""

    def __init__(self, variant: Variant, batches: Any, clock: Callable[[], float]) -> None:
        self.variant, self.batches, self.clock = variant, iter(batches), clock
        self.seconds: list[tuple[float, float]] = []
        self.last: float | None = None

    def on_train_batch_end(self, *args: Any) -> None:
        begin = self.clock()
        self.variant.step(next(self.batches))
        end = self.clock()
        if self.last is not None:
            self.seconds.append((begin - self.last, end - begin))
        # As the trainer had it.
        torch.use_deterministic_algorithms(True)
        self.last = self.clock()


def rounds_of(variants: dict[str, Variant], batch: Batch, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Return each variant's milliseconds, and its speed-up over the first in the same round."""
    for variant in variants.values():
        for _ in range(2):
            variant.step(batch)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            begin = clock()
            variant.step(batch)
            seconds[name].append(clock() - begin)
    first = np.array(next(iter(seconds.values())))
    return {
        name: {"milliseconds": quartiles(1e3 * np.array(taken), 1), "speed-up": quartiles(first / np.array(taken), 3)}
        for name, taken in seconds.items()
    }


def operations(step: Callable[[], None], steps: int = 3) -> dict[str, Any]:
    """Return the share of a step's processor time outside convolutions, and the ten largest operations."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    inside = sum(event.self_cpu_time_total for event in events if "conv" in event.key)
    return {
        "share outside convolutions": round(1 - inside / total, 3),
        "largest": {event.key: round(event.self_cpu_time_total / total, 3) for event in events[:10]},
    }


def loading(config: TrainConfig, root: Path, packed: Path, batches: int) -> dict[str, list[float]]:
    """Return the processor milliseconds to read a batch, augment it and make its targets."""
    loaders = {
        "files": make_loader(config, open_dataset(root, "train")),
        "packed": make_loader(config, open_dataset(packed, "train")),
        "packed, photometric": make_loader(config, open_dataset(packed, "train"), STRENGTHS),
    }
    found = {}
    for name, loader in loaders.items():
        iterator, taken = iter(loader), []
        next(iterator)
        for _ in range(batches):
            begin = time.process_time()
            next(iterator)
            taken.append(time.process_time() - begin)
        found[name] = quartiles(1e3 * np.array(taken), 1)
    return found


def whole_step(
    config: TrainConfig, root: Path, run: Path, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the milliseconds of an iteration of a run and of a plain loop, and their ratio."""
    data = open_dataset(root, "train")
    iterations = rounds + 2
    config = replace(config, data=str(root), iterations=iterations, checkpoint_every=iterations + 1)
    plain = PlainLoop(Variant(config, data), make_loader(config, data), clock)
    train(replace(config, validate_every=iterations), run, callbacks=[plain])
    ours, theirs = np.array(plain.seconds[1:]).T
    return {
        "run, milliseconds": quartiles(1e3 * ours, 1),
        "plain loop, milliseconds": quartiles(1e3 * theirs, 1),
        "ratio": quartiles(ours / theirs, 3),
    }


def quartiles(values: Any, digits: int) -> list[float]:
    """Return the quartiles."""
    return [round(float(value), digits) for value in np.percentile(values, [25, 50, 75])]


def measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return all measurements of one network."""
    clock = time.process_time if options.clock == "processor" else time.perf_counter
    config = configuration(name)
    assert config.crop is not None
    root, packed = folder / f"{name}-root", folder / f"{name}-packed"
    generate(root, 8, 1, config.crop.height, config.crop.width, 0, processes=1, samples_page=False)
    prepare(root, packed, packed=True)
    data = open_dataset(root, "train")
    batch = next(iter(make_loader(config, data)))
    variants = {
        "as it is": Variant(config, data),
        "deterministic": Variant(config, data, deterministic=True),
        "deterministic, new memory filled": Variant(config, data, deterministic=True, fill=True),
        "channels first": Variant(config, data, channels_first=True),
        "bf16-mixed": Variant(config, data, bfloat16=True),
    }
    if name == "demo":
        variants["the demo's network before, a ResNet-10"] = Variant(replace(config, **BEFORE), data)
    if options.compile:
        variants["compile"] = Variant(config, data, compiled=True)
    # First, because memory that is kept once is kept for good.
    one = {"as it is": variants["as it is"]}
    returned = rounds_of(one, batch, options.rounds, clock)["as it is"]["milliseconds"]
    keep_freed_memory()
    kept = rounds_of(one, batch, options.rounds, clock)["as it is"]["milliseconds"]
    result: dict[str, Any] = {
        "freed memory": {
            "returned to the system, milliseconds": returned,
            "kept, milliseconds": kept,
            "speed-up of the medians": round(returned[1] / kept[1], 3),
        }
    }
    result["steps"] = rounds_of(variants, batch, options.rounds, clock)
    result["operations"] = {key: operations(partial(variants[key].step, batch)) for key in ("as it is", "bf16-mixed")}
    result["processor milliseconds of a batch"] = loading(config, root, packed, options.rounds)
    result["whole step"] = whole_step(config, root, folder / f"{name}-run", 2 * options.rounds, clock)
    result["frames per second"] = {
        key: round(1e3 * config.batch_size / taken["milliseconds"][1], 2) for key, taken in result["steps"].items()
    }
    return result | {"batch": config.batch_size, "frame": str(config.crop)}


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["demo", "lite0"], default="demo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.network, Path(folder), options)
    load.append(os.getloadavg()[0])
    print(
        json.dumps(
            vars(options)
            | {
                "environment": describe_environment(),
                "load of the machine before and after": [round(value, 1) for value in load],
            }
            | result,
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
