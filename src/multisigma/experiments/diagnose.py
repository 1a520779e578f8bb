"""Before a choice of weighting: scales of the losses, and the tasks' gradients, for any model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from multisigma.datasets.evenly import evenly
from multisigma.datasets.module import WholeFrames, whole_frame_loader
from multisigma.datasets.open import open_dataset
from multisigma.errors import MultisigmaError
from multisigma.experiments.gradients import gradient_statistics, mean_losses, shared_parts
from multisigma.experiments.page import Page, number
from multisigma.training.loaders import make_targets
from multisigma.training.run_folder import load_module

# Rules of thumb, which no experiment has measured.
_SIMILAR = 3.0
_CONFLICT = -0.1


@dataclass(frozen=True)
class Diagnosis:
    """What the losses and their gradients are like, as means over batches.

    Args:
        losses: Mean loss of each task.
        norms: Norm of the gradient of each task's loss at what the tasks share.
        cosines: Cosine of the gradients of each two tasks.
        batches: Number of batches.
    """

    losses: Mapping[str, float]
    norms: Mapping[str, float]
    cosines: Mapping[tuple[str, str], float]
    batches: int

    def shares(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Return the share of each task in the sum of weighted gradient norms, under some weights."""
        scaled = {task: weights[task] * norm for task, norm in self.norms.items()}
        total = sum(scaled.values())
        return {task: value / total if total else math.nan for task, value in scaled.items()}

    @property
    def equal(self) -> dict[str, float]:
        """The shares under equal weights."""
        return self.shares(dict.fromkeys(self.norms, 1.0))

    @property
    def learned(self) -> dict[str, float]:
        """The shares under weights of 1 / loss, which learned weights reach up to constants of their likelihoods."""
        return self.shares({task: 1 / max(abs(loss), 1e-12) for task, loss in self.losses.items()})

    def advice(self) -> str:
        """Return what to try first, by rules of thumb."""
        before, after = _ratio(self.equal), _ratio(self.learned)
        conflicts = [pair for pair, cosine in self.cosines.items() if cosine < _CONFLICT]
        if len(self.norms) < 2:
            return "There is one task: nothing to weigh."
        if before < _SIMILAR:
            first = "Equal weights give the tasks similar shares. Try `equal` first; the choice should matter little."
        elif after < before / 2:
            first = (
                "The losses differ in scale, and weights of 1 / loss even out the shares. Try `uncertainty` first; "
                "equal weights would mostly train one task."
            )
        else:
            first = (
                "The gradients differ more than the losses do, so that weights of 1 / loss do not even them out. Try "
                "`uncertainty`, and `gradnorm`, which looks at gradients."
            )
        if conflicts:
            named = ", ".join(" and ".join(pair) for pair in conflicts)
            first += f" The gradients of {named} point apart: try `upgrad` or `cagrad` too."
        return first


def _ratio(shares: Mapping[str, float]) -> float:
    return max(shares.values(), default=1.0) / max(min(shares.values(), default=1.0), 1e-12)


def diagnose(
    losses: Callable[[Any], Mapping[str, Tensor]], shared: Iterable[nn.Parameter], batches: Iterable[Any]
) -> Diagnosis:
    """Measure losses and gradients over some batches; no parameter changes.

    Args:
        losses: Takes a batch and returns each task's mean loss, a scalar with a graph; an absent task is left out.
        shared: The parameters that the tasks share, such as `model.encoder.parameters()`.
        batches: The batches.

    Raises:
        MultisigmaError: There is no batch with a loss, or no shared parameter that learns.

    Example:
        >>> import torch
        >>> encoder, heads = torch.nn.Linear(4, 8), torch.nn.ModuleDict({t: torch.nn.Linear(8, 1) for t in "ab"})
        >>> def losses(batch):
        ...     return {name: head(encoder(batch)).abs().mean() for name, head in heads.items()}
        >>> found = diagnose(losses, encoder.parameters(), torch.randn(5, 16, 4))
        >>> sorted(found.norms), found.batches
        (['a', 'b'], 5)
    """
    parts = {"shared": [parameter for parameter in shared if parameter.requires_grad]}
    if not parts["shared"]:
        raise MultisigmaError("Parameter `shared` must hold parameters that learn. Found none.")
    rows = []
    for batch in batches:
        found = losses(batch)
        values = {f"loss/{task}": loss.item() for task, loss in found.items()}
        rows.append(values | gradient_statistics(found, parts))
    means = {key: fmean(row[key] for row in rows if key in row) for key in dict.fromkeys(k for r in rows for k in r)}
    tasks = [key.removeprefix("loss/") for key in means if key.startswith("loss/")]
    if not tasks:
        raise MultisigmaError("Parameter `batches` must hold a batch with a loss. Found none.")
    return Diagnosis(
        {task: means[f"loss/{task}"] for task in tasks},
        {task: means[f"norm/shared/{task}"] for task in tasks},
        {
            pair: means[f"cosine/shared/{pair[0]}/{pair[1]}"]
            for pair in itertools.combinations(tasks, 2)
            if f"cosine/shared/{pair[0]}/{pair[1]}" in means
        },
        len(rows),
    )


def diagnose_run(run: Path, data: str, frames: int = 16, trust_code: bool = False) -> Diagnosis:
    """Diagnose a trained run on some frames of the split 'val', evenly over it; each frame is a batch.

    Raises:
        MultisigmaError: The run or the data is at fault.
    """
    module = load_module(run, trust_code=trust_code)
    dataset = open_dataset(data, "val", module.config.missing_labels)
    chosen = dataset.subset(evenly(range(len(dataset)), frames))
    loader = whole_frame_loader(WholeFrames(chosen, partial(make_targets, module.tasks)), 0)

    def losses(entry: Any) -> dict[str, Tensor]:
        return mean_losses(module, module(entry[1]["image"]), entry[1])

    parameters = [p for part in shared_parts(module).values() for p in part]
    return diagnose(losses, parameters, loader)


def diagnosis_page(found: Diagnosis) -> Page:
    """Return a diagnosis as a page."""
    page = Page("Which weighting to try first")
    page.text(found.advice())
    page.table(
        ["task", "loss", "gradient norm", "share with equal weights", "share with weights 1 / loss"],
        [
            [task, number(loss), number(found.norms[task]), f"{found.equal[task]:.0%}", f"{found.learned[task]:.0%}"]
            for task, loss in found.losses.items()
        ],
    )
    if found.cosines:
        page.table(
            ["tasks", "cosine of their gradients"], [[", ".join(p), number(c, 2)] for p, c in found.cosines.items()]
        )
    page.text(
        f"Means over {found.batches} batches, of unweighted losses at the parameters that the tasks share. A share is "
        "a task's part of the sum of weighted gradient norms. The advice follows rules of thumb: shares are called "
        f"similar within a factor of {_SIMILAR:g}, gradients apart below a cosine of {_CONFLICT:g}. `multisigma "
        "experiment weightings` measures instead, and takes hours."
    )
    return page
