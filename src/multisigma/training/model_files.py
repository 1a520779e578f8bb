"""The models that a run leaves behind: `model.json` and `model.safetensors` of its last and of its best weights."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from multisigma.datasets.dataset import SceneDataset
from multisigma.datasets.evenly import evenly
from multisigma.datasets.frame import Camera
from multisigma.datasets.module import WholeFrames, whole_frame_loader
from multisigma.datasets.scene import in_classes_of
from multisigma.metrics import Counts, IntervalCoverage, Reliability, ScoreReliability
from multisigma.models import ModelInfo, SceneModel
from multisigma.models.scene_model import default_device
from multisigma.tasks.results import calibrate_scores
from multisigma.training.loaders import make_targets
from multisigma.training.score_calibration import fit_score_calibration
from multisigma.training.temperature import fit_temperature
from multisigma.training.weightings import has_tasks_likelihoods

if TYPE_CHECKING:
    from multisigma.training.scene_module import SceneModule

# Frames whose cameras are compared.
_CAMERAS = 20


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
    info = replace(info, camera=training_camera(train_data))
    model = SceneModel(info, module.tasks, module.network).eval()
    if val_data is not None:
        noise_scales, temperatures = calibrate(module.eval().to(device), val_data)
        model.info = replace(info, noise_scales=noise_scales, temperatures=temperatures)
        model.info = calibrate_predictions(model, val_data)
    module.cpu()
    model.save(folder)
    return model


def training_camera(data: SceneDataset) -> Camera | None:
    """Return the camera of the frames that a model learned from; None if some have none, or baselines differ.

    Args:
        data: The frames, of which some are read.

    Returns:
        The median of each number over cameras whose baselines differ by at most a tenth.
    """
    cameras = [data.read(i, ["image"]).camera for i in evenly(range(len(data)), _CAMERAS)]
    known = np.array([astuple(camera) for camera in cameras if camera is not None])
    if len(known) < len(cameras) or np.ptp(known[:, 0]) > 0.1 * known[:, 0].min():
        return None
    return Camera(*np.median(known, 0).tolist())


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
        shared_stages=config.shared_stages,
        labels=module.labels,
        # Of another weighting's noise, calibration could say nothing.
        sigmas=module.weighting.sigma if has_tasks_likelihoods(module.weighting) else {},
    )


def _three(values: Tensor) -> tuple[float, float, float]:
    """Return the numbers of a tensor of shape (3, 1, 1), to the six decimals that float32 holds."""
    red, green, blue = (round(value, 6) for value in values.double().flatten().tolist())
    return red, green, blue


def calibrate_predictions(model: SceneModel, dataset: SceneDataset, most: int = 100) -> ModelInfo:
    """Fit the calibration of the objects' scores, and measure how well calibrated all results are.

    Args:
        model: A model with noise scales and temperatures.
        dataset: The frames; those of `calibrate` in general.
        most: Number of frames at most, spread evenly over all.

    Returns:
        The model's description with `score_calibrations` and `calibration`.
    """
    labels = dataset.labels
    samples: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {task.name: [] for task in model.tasks}
    metrics = [m for task in model.tasks for m in task.metrics(labels) if isinstance(m, IntervalCoverage | Reliability)]
    counts: list[list[Counts]] = [[] for _ in metrics]
    for index in evenly(range(len(dataset)), most):
        frame = dataset.read(index)
        prediction = model.predict(frame.image, frame.camera, frame.size[0])
        scene = in_classes_of(prediction, model.info.labels, labels)
        for metric, of_frames in zip(metrics, counts, strict=True):
            of_frames.append(metric.count(scene, frame))
        for task in model.tasks:
            found = task.score_samples(scene, frame)
            if found is not None:
                samples[task.name].append(found)
    measured = [
        m
        for metric, of_frames in zip(metrics, counts, strict=True)
        for m in metric.summarise([of_frame for of_frame in of_frames if of_frame])
    ]
    calibrations = {}
    for name, parts in samples.items():
        if not parts:
            continue
        scores, right = (np.concatenate(part) for part in zip(*parts, strict=True))
        calibration = fit_score_calibration(scores, right)
        if calibration is not None:
            calibrations[name] = calibration
            scores = calibrate_scores(scores, *calibration)
        reliability = ScoreReliability(labels)
        measured += reliability.summarise([reliability.count_scores(scores, right)])
    # Three decimals: a ten-thousandth of a per cent is noise.
    values = {m.key: round(m.value, 3) for m in measured if math.isfinite(m.value)}
    return replace(model.info, score_calibrations=calibrations, calibration=values)


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
