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

    def __init__(self, iterations: int, times: int = 20) -> None:
        self.every = max(1, iterations // times)
        self.rows: list[dict[str, float]] = []

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            module = cast(SceneModule, pl_module)
            self.rows.append({"step": trainer.global_step} | gradient_statistics(module, batch))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def gradient_statistics(module: SceneModule, batch: Batch) -> dict[str, float]:
    """Return norms and cosines of the tasks' gradients for a batch; see `GradientProbe`.

    The network's statistics of batch normalisation and the random state stay as they are.
    """
    parts = shared_parts(module)
    named = [(part, parameter) for part, parameters in parts.items() for parameter in parameters]
    parameters = [parameter for _, parameter in named]
    buffers = {name: buffer.clone() for name, buffer in module.network.named_buffers()}
    rows: dict[str, list[Tensor]] = {}
    with torch.random.fork_rng(), torch.enable_grad():
        outputs = functional_call(module.network, buffers, (batch["image"],))
        for task, (total, count) in module.losses(outputs, batch).items():
            if count.item():
                found = torch.autograd.grad(total / count, parameters, retain_graph=True, allow_unused=True)
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


def shared_parts(module: SceneModule) -> Mapping[str, Sequence[nn.Parameter]]:
    """Return the parameters that the tasks share, by part: the encoder's children and the ASPP."""
    named = [(name, child) for name, child in module.network.encoder.named_children()]
    parts = {name: list(child.parameters()) for name, child in [*named, ("aspp", module.network.aspp)]}
    return {name: parameters for name, parameters in parts.items() if parameters}
