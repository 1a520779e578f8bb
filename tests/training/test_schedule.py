"""Optimiser and schedule of appendix A.1."""

import pytest
import torch

from multisigma import Laplace, UncertaintyWeighting
from multisigma.models import SceneNetwork
from multisigma.training.config import TrainConfig
from multisigma.training.schedule import make_optimizer, polynomial_decay


def small_network() -> SceneNetwork:
    return SceneNetwork(
        {"depth": 1}, encoder="test_resnet", encoder_weights="none", aspp_channels=8, decoder_channels=8
    )


def test_the_encoder_can_have_its_own_learning_rate() -> None:
    config = TrainConfig(learning_rate=0.1, encoder_learning_rate=0.01)
    network, weighting = small_network(), UncertaintyWeighting({"depth": Laplace()})
    others, encoder, noise = make_optimizer(network, weighting, config).param_groups
    assert [group["lr"] for group in (others, encoder, noise)] == [0.1, 0.01, 0.1]
    assert [group["weight_decay"] for group in (others, encoder, noise)] == [1e-4, 1e-4, 0]
    assert encoder["params"] == list(network.encoder.parameters())
    assert len(others["params"]) + len(encoder["params"]) == len(list(network.parameters()))


def test_groups_and_decay() -> None:
    config = TrainConfig(iterations=10, noise_learning_rate=0.1)
    network, weighting = small_network(), UncertaintyWeighting({"depth": Laplace()})
    optimizer = make_optimizer(network, weighting, config)
    first, noise = optimizer.param_groups
    assert (first["weight_decay"], first["momentum"], first["nesterov"], first["lr"]) == (1e-4, 0.9, True, 2.5e-3)
    assert (noise["weight_decay"], noise["lr"]) == (0, 0.1)
    assert list(noise["params"]) == list(weighting.parameters())
    schedule = polynomial_decay(optimizer, 10, 0.9)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2.5e-3 * (1 - i / 10) ** 0.9 for i in range(11)])
    assert torch.isfinite(torch.tensor(rates)).all()
