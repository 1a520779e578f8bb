"""Gradients of the tasks over a training: how long they are, and whether they agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torch.func import functional_call

from multisigma.datasets.module import Batch
from multisigma.training.scene_module import SceneModule


class GradientProbe(lightning.Callback):
    """Record the tasks' gradients at what they share, so many times over a training, without changing it.

    A row has `step`; for each part of the shared network (the encoder's stages, the ASPP) and as `all` for the whole,
    `norm/PART/TASK` and `cosine/PART/TASK/TASK`. Gradients are those of the unweighted losses of one batch.

    Args:
        iterations: Iterations of the training.
        times: Number of rows.
    """

    def __init__(self, iterations: int, times: int = 10) -> None:
        self.every = max(1, iterations // times)
        self.rows: list[dict[str, float]] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            module = cast(SceneModule, pl_module)
            # The statistics of batch normalisation and the random state stay as they are.
            buffers = {name: buffer.clone() for name, buffer in module.network.named_buffers()}
            with torch.random.fork_rng():
                outputs = functional_call(module.network, buffers, (batch["image"],))
                losses = mean_losses(module, outputs, batch)
                self.rows.append({"step": trainer.global_step} | gradient_statistics(losses, shared_parts(module)))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def mean_losses(module: SceneModule, outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Return each task's mean loss over a batch; tasks without a label are left out."""
    found = module.losses(outputs, batch).items()
    return {task: total / count for task, (total, count) in found if count.item()}


def gradient_statistics(losses: Mapping[str, Tensor], parts: Mapping[str, Sequence[nn.Parameter]]) -> dict[str, float]:
    """Return norms and cosines of the gradients of losses; see `GradientProbe`.

    Args:
        losses: Each task's mean loss, a scalar with a graph.
        parts: The parameters that the tasks share, by part.
    """
    named = [(part, parameter) for part, parameters in parts.items() for parameter in parameters]
    parameters = [parameter for _, parameter in named]
    rows: dict[str, list[Tensor]] = {}
    for task, loss in losses.items():
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        rows[task] = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    values: dict[str, float] = {}
    for part in ("all", *parts):
        chosen = [i for i, (name, _) in enumerate(named) if part in ("all", name)]
        flat = {task: torch.cat([gradients[i].flatten() for i in chosen]) for task, gradients in rows.items()}
        values |= {f"norm/{part}/{task}": gradient.norm().item() for task, gradient in flat.items()}
        for one, other in itertools.combinations(flat, 2):
            cosine = torch.cosine_similarity(flat[one], flat[other], dim=0)
            values[f"cosine/{part}/{one}/{other}"] = cosine.item()
    return values


def shared_parts(module: SceneModule) -> dict[str, list[nn.Parameter]]:
    """Return the parameters that the tasks share and that learn, by part: the encoder's children, ASPP, skip."""
    network = module.network
    children = [*network.encoder.named_children(), ("aspp", network.aspp), ("skip", network.skip)]
    parts = {name: [p for p in child.parameters() if p.requires_grad] for name, child in children if child is not None}
    return {name: parameters for name, parameters in parts.items() if parameters}
