"""The optimiser and the learning rate of appendix A.1."""

from torch import nn, optim

from multisigma.training.config import TrainConfig
from multisigma.weighting import Weighting


def make_optimizer(network: nn.Module, weighting: Weighting, config: TrainConfig) -> optim.SGD:
    """Make SGD with Nesterov momentum (appendix A.1).

    Weight decay acts on the network alone. The paper does not say; on the noise it would pull towards 1.
    """
    groups = [
        {"params": list(network.parameters()), "weight_decay": config.weight_decay},
        *weighting.param_groups(lr=config.noise_learning_rate),
    ]
    return optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)


def polynomial_decay(optimizer: optim.Optimizer, iterations: int, power: float) -> optim.lr_scheduler.LambdaLR:
    """Multiply the learning rate by `(1 - iteration / iterations) ** power` (appendix A.1)."""
    return optim.lr_scheduler.LambdaLR(optimizer, lambda iteration: max(0.0, 1 - iteration / iterations) ** power)
