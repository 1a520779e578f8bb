"""The optimiser and the learning rate of appendix A.1."""

from typing import Any

from torch import optim

from multisigma.models import SceneNetwork
from multisigma.training.config import TrainConfig
from multisigma.weighting import Weighting


def make_optimizer(network: SceneNetwork, weighting: Weighting, config: TrainConfig) -> optim.SGD:
    """Make SGD with Nesterov momentum (appendix A.1).

    Weight decay acts on the network alone. The paper does not say; on the noise it would pull towards 1.
    """
    encoder = list(network.encoder.parameters()) if config.encoder_learning_rate else []
    ids = {id(parameter) for parameter in encoder}
    parts: list[dict[str, Any]] = [{"params": [p for p in network.parameters() if id(p) not in ids]}]
    if encoder:
        parts.append({"params": encoder, "lr": config.encoder_learning_rate})
    groups = [
        *(part | {"weight_decay": config.weight_decay} for part in parts),
        *weighting.param_groups(lr=config.noise_learning_rate),
    ]
    return optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)


def polynomial_decay(optimizer: optim.Optimizer, iterations: int, power: float) -> optim.lr_scheduler.LambdaLR:
    """Multiply the learning rate by `(1 - iteration / iterations) ** power` (appendix A.1)."""
    return optim.lr_scheduler.LambdaLR(optimizer, lambda iteration: max(0.0, 1 - iteration / iterations) ** power)
