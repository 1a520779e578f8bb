"""The Lightning module: it ties network, tasks and weighting together, and logs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.func import functional_call

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.module import Batch
from multisigma.models import SceneNetwork
from multisigma.tasks import Depth, Task
from multisigma.training.config import TrainConfig
from multisigma.training.schedule import make_optimizer, polynomial_decay
from multisigma.training.weightings import make_weighting


class SceneModule(lightning.LightningModule):
    """Train a network on a list of tasks with a weighting of their losses.

    Args:
        config: The run's configuration.
        tasks: The tasks that the configuration names.
        labels: The classes of the data.
        pretrained: Whether to load the encoder's pretrained weights; false where a checkpoint is loaded next.
        steps_per_epoch: Iterations of one epoch of the training data, for weightings that work in epochs.
    """

    def __init__(
        self,
        config: TrainConfig,
        tasks: Sequence[Task],
        labels: LabelSpace = CITYSCAPES,
        pretrained: bool = True,
        steps_per_epoch: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.tasks, self.labels = config, list(tasks), labels
        # First, because a fault in its options shows at once, and the network may fetch weights.
        weighting = make_weighting(config, tasks, steps_per_epoch)
        self.network = make_network(config, tasks, labels, pretrained)
        self.weighting = weighting
        # For training alone: validation may have frames of many sizes, and each would be compiled anew. They stand
        # beside the network, so that its weights keep their names.
        self.forward_features: Callable[[Tensor], Tensor] = self.network.forward_features
        self.forward_decoders: Callable[[Tensor, Sequence[int]], dict[str, Tensor]] = self.network.forward_decoders
        if config.compile:
            self.forward_features = torch.compile(self.forward_features, dynamic=False)
            self.forward_decoders = torch.compile(self.forward_decoders, dynamic=False)
        self.validation_sums: dict[str, Tensor] = {}

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Return each task's output for RGB of shape (B, 3, H, W), by task name."""
        outputs: dict[str, Tensor] = self.network(rgb)
        return outputs

    def losses(self, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return each task's loss over a batch as (sum, count), by task name, from each task's output."""
        return {task.name: task.loss(outputs[task.name], batch["targets"][task.name]) for task in self.tasks}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.batch, self.batch_seed = batch, self.config.seed * 1_000_003 + self.global_step
        # Seeded by iteration, so that encoders with dropout resume bit for bit too.
        torch.manual_seed(self.batch_seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        shared = self.forward_features(batch["image"])
        losses = self.losses(self.forward_decoders(shared, batch["image"].shape[2:]), batch)
        objective = self.weighting(losses, shared)
        if self.global_step % self.config.log_every == 0:
            self._log_training(losses, objective)
        return objective

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        # Here and not at the end of the batch, where a checkpoint may already be written.
        if self.weighting.needs_update:
            self._update_weighting()

    def _update_weighting(self) -> None:
        """Show the weighting the same batch's losses after the optimiser's step, by a second forward pass."""
        torch.manual_seed(self.batch_seed)
        # Copies of the buffers, or batch normalisation would count the batch twice in its running statistics.
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        with torch.no_grad(), self.trainer.precision_plugin.train_step_context():
            outputs = functional_call(self.network, buffers, (self.batch["image"],))
            self.weighting.update(self.losses(outputs, self.batch))

    def _log_training(self, losses: Mapping[str, tuple[Tensor, Tensor]], objective: Tensor) -> None:
        values = {"loss/total": objective.item()}
        for name, (total, count) in losses.items():
            if count.item():
                values[f"loss/{name}"] = total.item() / count.item()
        values |= weighting_columns(self.weighting.log())
        rates = [group["lr"] for group in self.trainer.optimizers[0].param_groups]
        values["learning_rate"] = rates[0]
        if self.config.encoder_learning_rate:
            values["learning_rate/encoder"] = rates[1]
        for logger in self.loggers:
            logger.log_metrics(values, self.global_step)
        shown = {k: v for k, v in values.items() if k.startswith(("loss/", "sigma/")) and k != "loss/total"}
        self.log_dict(shown, prog_bar=True, logger=False)

    def on_validation_epoch_start(self) -> None:
        self.validation_sums = {task.name: torch.zeros(2, dtype=torch.float64) for task in self.tasks}

    def validation_step(self, batch: tuple[Frame, Batch], batch_idx: int) -> None:
        for name, (total, count) in self.losses(self(batch[1]["image"]), batch[1]).items():
            self.validation_sums[name] += torch.stack([total, count]).double().cpu()

    def on_validation_epoch_end(self) -> None:
        """Log each task's mean loss over the split, and the sum of their logarithms.

        The best checkpoint is the one with the least sum: units and weights of the losses only add a constant to it.
        Every task counts alike, so it is not the objective at its best noise, where a Laplace of dimension d has
        d log(loss). The paper does not say how it chose its checkpoints.
        """
        logarithms = 0.0
        for name, sums in self.validation_sums.items():
            gathered = self.all_gather(sums)
            assert isinstance(gathered, Tensor)
            total, count = gathered.reshape(-1, 2).sum(0).tolist()
            if count:
                self.log(f"val/loss/{name}", total / count, rank_zero_only=True)
                logarithms += math.log(max(total / count, 1e-12))
        self.log("val/sum_of_log_losses", logarithms, prog_bar=True, rank_zero_only=True)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.weighting, self.config)
        schedule = polynomial_decay(optimizer, self.config.iterations, self.config.poly_power)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # A validation batch comes with its frame, which stays where it is.
        if isinstance(batch, tuple | list):
            return batch[0], super().transfer_batch_to_device(batch[1], device, dataloader_idx)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def weighting_columns(row: Mapping[str, float]) -> dict[str, float]:
    """Add the ratios of noises, as the paper reports them, to a weighting's row of the log.

    The paper's noise is 1 / weight for every task (figures 6 and 7). Its ratios, 43 : 0.16 : 1 for semantic, instance
    and depth (section 5.1), are depth's noise over the task's, which is the task's weight over depth's.

    Args:
        row: What `Weighting.log` returns. A task without a positive weight has no noise in the paper's sense.

    Returns:
        The row with the finite noises alone, and with `noise_ratio/TASK` where depth is a task.

    Example:
        >>> columns = weighting_columns({"noise/semantic": 0.075, "noise/instance": 20.4, "noise/depth": 3.25})
        >>> {name: round(value, 2) for name, value in columns.items() if name.startswith("noise_ratio/")}
        {'noise_ratio/semantic': 43.33, 'noise_ratio/instance': 0.16, 'noise_ratio/depth': 1.0}
    """
    columns = {name: value for name, value in row.items() if not name.startswith("noise/") or 0 < value < math.inf}
    depth = columns.get(f"noise/{Depth.name}")
    if depth is None:
        return columns
    noises = {name.removeprefix("noise/"): value for name, value in columns.items() if name.startswith("noise/")}
    return columns | {f"noise_ratio/{task}": depth / noise for task, noise in noises.items()}


def make_network(
    config: TrainConfig, tasks: Sequence[Task], labels: LabelSpace, pretrained: bool = True
) -> SceneNetwork:
    """Make the network of a configuration for data of some classes."""
    network = SceneNetwork(
        {task.name: task.channels(labels) for task in tasks},
        encoder=config.encoder,
        encoder_weights=config.encoder_weights if pretrained else "none",
        output_stride=config.output_stride,
        aspp_channels=config.aspp_channels,
        dilations=[int(d) for d in config.dilations.values],
        decoder_channels=config.decoder_channels,
        decoder_kernel=config.decoder_kernel,
        skip_channels=config.skip_channels,
        separable=config.separable,
        shared_stages=config.shared_stages,
    )
    if config.frozen_stride:
        network.freeze(config.frozen_stride)
    return network
