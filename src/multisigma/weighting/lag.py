"""A warning where the optimiser moves a noise too slowly."""

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from multisigma.weighting.base import CHECK_EVERY

LAG = 2.0
"""A noise is far off if sigma differs from its optimum by more than this factor, either way."""
LAG_CALLS = 1000
"""Warn when a noise has been far off for this many calls."""


class LagWatch:
    """Warn when a noise has been far from its optimum at every look for `LAG_CALLS` calls.

    Args:
        tasks: Names of the tasks.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self.calls = 0
        self.looks_behind = dict.fromkeys(tasks, 0)

    def is_due(self) -> bool:
        """Count a training call, and return whether to `look` in it."""
        self.calls += 1
        return self.calls % CHECK_EVERY == 0

    def look(self, log_variances: Tensor, optimum: Tensor, labelled: Tensor) -> None:
        """Compare the log variances with their optimum.

        Args:
            log_variances: Log variances of the tasks, shape (T,).
            optimum: Their closed-form optimum at the batch's losses, shape (T,).
            labelled: Which tasks have a label and an optimum, shape (T,), bool.
        """
        # These are logarithms of sigma squared, so the factor counts twice.
        behind = ((optimum - log_variances).abs() > 2 * math.log(LAG)) & labelled
        for i, (name, is_behind) in enumerate(zip(self.looks_behind, behind.tolist(), strict=True)):
            self.looks_behind[name] = self.looks_behind[name] + 1 if is_behind else 0
            if self.looks_behind[name] == LAG_CALLS // CHECK_EVERY:
                now, best = (math.exp(0.5 * s[i].item()) for s in (log_variances, optimum))
                warnings.warn(
                    f"Task {name!r}: sigma is {now:.3g} and its optimum now about {best:.3g}. It has been off by more "
                    f"than a factor of {LAG:g} for {LAG_CALLS} calls. The optimiser moves it too slowly. Raise its "
                    "learning rate with `param_groups(noise_lr=...)`, start nearer with `initial=...`, or use "
                    "`closed_form=True`.",
                    stacklevel=2,
                )
