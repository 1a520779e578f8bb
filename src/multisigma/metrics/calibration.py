"""How well learned noise describes the errors: reliability of probabilities, coverage of intervals."""

from collections.abc import Mapping
from math import log, nan
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from multisigma.errors import MultisigmaError
from multisigma.metrics.counting import exactly, value

BINS = 15
"""Bins of equal width, as in Guo et al. (2017)."""
LEVELS = (50, 80, 90, 95)
"""Per cent of the errors that each interval should hold."""


class Reliability(Metric):
    """Expected calibration error of class probabilities, and the reliability diagram behind it (Guo et al., 2017).

    The highest probability of each labelled pixel falls into one of 15 bins of equal width; the error is the mean over
    pixels of the difference between the bin's mean probability and its share of right classes.

    Args:
        prefix: What is measured; names the results.
        temperatures: What the logits are divided by before the softmax, by a name: {"": 1.0} gives `{prefix}_ece`,
            {"temperature": t} `{prefix}_ece_temperature`.
        ignore_index: Target value of pixels without a label.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    counts: Tensor
    hits: Tensor
    probabilities: Tensor

    def __init__(self, prefix: str, temperatures: Mapping[str, float], ignore_index: int = 255) -> None:
        super().__init__()
        if not all(temperature > 0 for temperature in temperatures.values()):
            raise MultisigmaError(f"Every temperature should be positive. Found {dict(temperatures)}.")
        self.prefix, self.temperatures, self.ignore_index = prefix, dict(temperatures), ignore_index
        shape = (len(self.temperatures), BINS)
        self.add_state("counts", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("probabilities", exactly(np.zeros(shape)), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            output: Logits of shape (B, C, H, W).
            target: True class of each pixel, shape (B, H, W).

        Raises:
            MultisigmaError: If shapes do not fit.
        """
        if output.ndim != 4 or target.shape != (output.shape[0], *output.shape[2:]):
            raise MultisigmaError(
                "Logits should have the shape (B, C, H, W) and targets (B, H, W). "
                f"Found {tuple(output.shape)} and {tuple(target.shape)}."
            )
        labelled = target != self.ignore_index
        logits = output.float().movedim(1, -1)[labelled]  # (N, C)
        if not len(logits):
            return
        highest, guess = logits.max(1)
        right = (guess == target[labelled]).double()
        for row, temperature in enumerate(self.temperatures.values()):
            probability = 1 / ((logits - highest[:, None]) / temperature).exp().sum(1).double()
            # A bin holds its upper edge, not its lower one.
            bins = ((probability * BINS).ceil().long() - 1).clamp(0, BINS - 1)
            self.counts[row] += torch.bincount(bins, minlength=BINS)
            self.hits[row] += torch.bincount(bins, right, minlength=BINS).long()
            sums = torch.bincount(bins, probability, minlength=BINS)
            self.probabilities[row] += exactly(sums.cpu().numpy()).to(self.probabilities.device)

    def compute(self) -> dict[str, Any]:
        """Give the errors, and each temperature's reliability: probability, accuracy and share of pixels by bin."""
        counts, hits, sums = self.counts.cpu().numpy(), self.hits.cpu().numpy(), value(self.probabilities)
        numbers: dict[str, Any] = {}
        diagrams = {}
        for row, name in enumerate(self.temperatures):
            total, filled = counts[row].sum(), counts[row] > 0
            gaps = np.abs(sums[row] - hits[row])[filled]
            numbers[f"{self.prefix}_ece{'_' if name else ''}{name}"] = float(gaps.sum() / total) if total else nan
            with np.errstate(invalid="ignore"):
                diagrams[name or "none"] = {
                    "temperature": self.temperatures[name],
                    "probability": (sums[row] / counts[row]).tolist(),
                    "accuracy": (hits[row] / counts[row]).tolist(),
                    "share": (counts[row] / total).tolist(),
                }
        return numbers | {f"{self.prefix}_reliability": diagrams}


class LaplaceCoverage(Metric):
    """The share of labelled values within central intervals of Laplace noise around the network's output.

    An interval of level p is output +- b * log(1 / (1 - p)); noise that describes the errors gives the share p. The
    components of a vector count each: a Laplace of dimension 2 and scale b gives each of them the scale b.

    Args:
        prefix: What is measured; "depth" gives `depth_coverage_50` and so on, for 50, 80, 90 and 95 %.
        scale: The scale b of the noise, in the output's unit.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    within: Tensor
    count: Tensor

    def __init__(self, prefix: str, scale: float) -> None:
        super().__init__()
        self.prefix = prefix
        self.half_widths = [scale * log(1 / (1 - level / 100)) for level in LEVELS]
        self.add_state("within", torch.zeros(len(LEVELS), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            output: The network's output, of any shape.
            target: True values of the same shape; NaN where not labelled.
        """
        errors = (output - target)[~target.isnan()].abs()
        for row, half_width in enumerate(self.half_widths):
            self.within[row] += (errors <= half_width).sum()
        self.count += errors.numel()

    def compute(self) -> dict[str, float]:
        """Give the shares; nan when nothing was labelled."""
        count = int(self.count)
        return {
            f"{self.prefix}_coverage_{level}": int(inside) / count if count else nan
            for level, inside in zip(LEVELS, self.within, strict=True)
        }
