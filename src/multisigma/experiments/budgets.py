"""Budgets: how large and how long the runs of an experiment are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from multisigma.training.config import PRESETS, Names, Size, TrainConfig


@dataclass(frozen=True)
class Budget:
    """What all runs of an experiment have in common.

    Args:
        config: The configuration; its learning rate is the middle of the grid.
        learning_rates: The grid of learning rates that each method gets.
        data: What the data should be, for pages.
    """

    config: TrainConfig
    learning_rates: tuple[float, ...]
    data: str


_DEMO = replace(TrainConfig.from_yaml(PRESETS["demo"]), tasks=Names("semantic", "instance", "depth"))
_TABLE1 = TrainConfig.from_yaml(PRESETS["table1"])
# A network from random weights, all of it trained, at the paper's output stride.
_RANDOM = replace(
    _DEMO,
    encoder_weights="none",
    output_stride=8,
    frozen_stride=0,
    dilations=_TABLE1.dilations,
    skip_channels=0,
    separable=False,
    learning_rate=0.1,
    encoder_learning_rate=None,
)

# About half a minute a run on one core. Half of it is the step of the encoder's later stages: the tasks train these
# together, and the early ones keep what they learned from photographs. Every value that changes what is learned
# stands here, so that a change of the demo leaves the results as they are.
_CPU = Budget(
    TrainConfig(
        tasks=_DEMO.tasks,
        encoder="tf_efficientnet_lite0",
        encoder_weights="packaged",
        output_stride=32,
        frozen_stride=8,
        aspp_channels=64,
        dilations=Names("1", "2", "3", "4"),
        decoder_channels=64,
        skip_channels=32,
        separable=True,
        iterations=200,
        batch_size=4,
        crop=Size(64, 128),
        scale_min=1.0,
        scale_max=1.0,
        learning_rate=0.3,
        validate_every=200,
        validation_frames=0,
        checkpoint_every=200,
        log_every=5,
        workers=0,
        accelerator="cpu",
    ),
    (0.1, 0.3, 1.0),
    "480 training and 96 validation frames of 64x128 by `multisigma generate`",
)

BUDGETS: Final = {
    # Seconds, for the tests.
    "smoke": Budget(
        replace(
            _RANDOM,
            encoder="test_resnet",
            aspp_channels=8,
            decoder_channels=8,
            crop=Size(64, 128),
            iterations=3,
            batch_size=2,
            validate_every=3,
            checkpoint_every=1,
            log_every=1,
            validation_frames=None,
        ),
        (0.1,),
        "generated streets of 64x128",
    ),
    "cpu": _CPU,
    # Four times as long, to see what the length of a run decides.
    "cpu-long": replace(_CPU, config=replace(_CPU.config, iterations=800, validate_every=800)),
    # Some 45 s a run on a modern GPU, so that a table takes an hour. The time is an estimate.
    "gpu": Budget(
        replace(
            _RANDOM,
            encoder="resnet18",
            aspp_channels=128,
            decoder_channels=128,
            iterations=1500,
            batch_size=16,
            validate_every=1500,
            checkpoint_every=500,
            log_every=5,
            validation_frames=None,
            workers=8,
            accelerator="gpu",
        ),
        (0.03, 0.1, 0.3),
        "generated streets or Tiny Cityscapes, 128x256",
    ),
    # The paper's own schedule; its rate is the middle one.
    "paper": Budget(_TABLE1, (0.0025, 0.01, 0.04), "Tiny Cityscapes, 128x256"),
}
