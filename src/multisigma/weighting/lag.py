"""A warning where the optimiser moves a noise too slowly."""

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from multisigma.weighting.base import CHECK_EVERY

LAG = 2.0
"""Sigma is far off if it is this many times larger or smaller than its optimum."""
LAG_CALLS = 1000
"""Warn when sigma has been far off for this many calls."""


class LagWatch:
    """Compare each task's sigma with its optimum every `CHECK_EVERY` calls, and warn of one that stays far off.

    Args:
        tasks: Names of the tasks.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self.calls = 0
        self.looks_behind = dict.fromkeys(tasks, 0)

    def is_due(self) -> bool:
        """Count a training call. Return whether the caller should now call `look`."""
        self.calls += 1
        return self.calls % CHECK_EVERY == 0

    def look(self, log_variances: Tensor, optimum: Tensor, labelled: Tensor) -> None:
        """Compare log variances with their optimum. Warn of a task that was far off for `LAG_CALLS` calls.

        Args:
            log_variances: Log variances of the tasks, shape (T,).
            optimum: Their optimum at the batch's losses, shape (T,). NaN for a task without one.
            labelled: Which tasks have a label, shape (T,), bool.
        """
        # A log variance is twice the logarithm of sigma.
        behind = ((optimum - log_variances).abs() > 2 * math.log(LAG)).tolist()
        for i, (name, is_behind, has_label) in enumerate(
            zip(self.looks_behind, behind, labelled.tolist(), strict=True)
        ):
            if not has_label:
                continue
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
