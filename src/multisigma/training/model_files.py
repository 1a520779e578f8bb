"""The models that a run leaves behind: `model.json` and `model.safetensors` of its last and of its best weights."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import timm
import torch
from torch import Tensor

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.module import WholeFrames, whole_frame_loader
from multisigma.models import ModelInfo, SceneModel
from multisigma.models.scene_model import default_device
from multisigma.training.loaders import make_targets
from multisigma.training.temperature import fit_temperature
from multisigma.training.weightings import has_tasks_likelihoods

if TYPE_CHECKING:
    from multisigma.training.scene_module import SceneModule


def write_model(
    folder: Path, module: SceneModule, train_data: SceneDataset, val_data: SceneDataset | None
) -> SceneModel:
    """Write `model.json` and `model.safetensors`.

    Args:
        folder: Where they go, see `model_folder`.
        module: The trained module; its network moves to the device that measures, and back to the CPU.
        train_data: The frames that it learned from: the first tells the working height.
        val_data: Frames to measure the scale of each task's errors on; None if there are none.

    Returns:
        The model, in evaluation mode.
    """
    device = torch.device("cpu") if module.config.accelerator == "cpu" else default_device()
    info = describe_model(module, train_data.read(0, ["image"]).size[0])
    if val_data is not None:
        noise_scales, temperatures = calibrate(module.eval().to(device), val_data)
        info = replace(info, noise_scales=noise_scales, temperatures=temperatures)
    model = SceneModel(info, module.tasks, module.cpu().network).eval()
    model.save(folder)
    return model


def model_folder(run: Path, checkpoint: str) -> Path:
    """Return the folder of a run's model: the run folder itself for the checkpoint 'last', RUN/best for 'best'."""
    return run if checkpoint == "last" else run / checkpoint


def describe_model(module: SceneModule, working_height: int) -> ModelInfo:
    """Return the description of a module, without the scales of its errors.

    Args:
        module: The module.
        working_height: Height in pixels of the frames that it learned from.
    """
    config = module.config
    encoder = config.encoder
    if encoder.startswith("hf-hub:") and timm.is_model(encoder.rpartition("/")[2]):
        # A stored model must not ask the hub what its encoder is.
        encoder = encoder.rpartition("/")[2]
    return ModelInfo(
        tasks=config.tasks.values,
        task_options=config.task_options or {},
        outputs={task.name: task.channels(module.labels) for task in module.tasks},
        working_height=working_height,
        mean=_three(module.network.mean),
        std=_three(module.network.std),
        encoder=encoder,
        output_stride=config.output_stride,
        aspp_channels=config.aspp_channels,
        dilations=tuple(int(dilation) for dilation in config.dilations.values),
        decoder_channels=config.decoder_channels,
        decoder_kernel=config.decoder_kernel,
        skip_channels=config.skip_channels,
        separable=config.separable,
        labels=module.labels,
        # Of another weighting's noise, calibration could say nothing.
        sigmas=module.weighting.sigma if has_tasks_likelihoods(module.weighting) else {},
    )


def _three(values: Tensor) -> tuple[float, float, float]:
    """Return the numbers of a tensor of shape (3, 1, 1), to the six decimals that float32 holds."""
    red, green, blue = (round(value, 6) for value in values.double().flatten().tolist())
    return red, green, blue


@torch.inference_mode()
def calibrate(module: SceneModule, dataset: SceneDataset) -> tuple[dict[str, float], dict[str, float]]:
    """Return the scale of each task's errors, and the temperature of each task's classes, over whole frames.

    Args:
        module: The trained module in evaluation mode.
        dataset: The frames.

    Returns:
        Both by task name, without the tasks that have none.
    """
    frames = WholeFrames(dataset, partial(make_targets, module.tasks))
    sums = {task.name: torch.zeros(2, dtype=torch.float64) for task in module.tasks}
    samples: dict[str, list[tuple[Tensor, Tensor]]] = {task.name: [] for task in module.tasks}
    for _, batch in whole_frame_loader(frames, 0):
        outputs = module(batch["image"].to(module.device))
        for task in module.tasks:
            output, target = outputs[task.name].cpu(), batch["targets"][task.name]
            total, count = task.loss(output, target)
            sums[task.name] += torch.stack([total, count]).double()
            found = task.class_samples(output, target)
            if found is not None and len(found[0]):
                samples[task.name].append(found)
    scales = {}
    for task in module.tasks:
        total, count = sums[task.name].tolist()
        scale = task.noise_scale(total / count) if count else None
        if scale is not None:
            scales[task.name] = scale
    temperatures = {
        name: fit_temperature(*(torch.cat(parts) for parts in zip(*found, strict=True)))
        for name, found in samples.items()
        if found
    }
    return scales, temperatures
