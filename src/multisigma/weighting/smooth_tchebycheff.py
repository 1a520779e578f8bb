"""Smooth Tchebycheff: Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", ICML 2024."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from multisigma.errors import MultisigmaError
from multisigma.weighting.weighting import AdaptiveWeighting, PresentLosses, masked_sum, softmax_of_labelled


class SmoothTchebycheffWeighting(AdaptiveWeighting):
    """`mu log sum exp(p (L - z) / mu)`, a smooth maximum of the losses above their ideals z, with preferences p.

    Args:
        tasks: The tasks' names.
        smoothing: mu; the smaller, the nearer to the maximum.
        preferences: p of each task; `1 / T` for each of T tasks where not given.
        ideal: z of each task; zero where not given.

    Raises:
        MultisigmaError: The smoothing or a preference is not positive, or a name is unknown.
    """

    preferences: Tensor
    ideal: Tensor

    def __init__(
        self,
        tasks: Iterable[str],
        smoothing: float = 1.0,
        preferences: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(tasks)
        if not smoothing > 0:
            raise MultisigmaError(f"Parameter `smoothing` must be positive; found {smoothing}.")
        for parameter, values in (("preferences", preferences or {}), ("ideal", ideal or {})):
            unknown = [name for name in values if name not in self.tasks]
            if unknown:
                raise MultisigmaError(
                    f"Parameter `{parameter}` names unknown tasks {unknown}; there are {list(self.tasks)}."
                )
        for name, value in (preferences or {}).items():
            if not value > 0:
                raise MultisigmaError(f"Parameter `preferences` must be positive; found {value} for task {name!r}.")
        self.smoothing = smoothing
        even = 1.0 / len(self.tasks)
        chosen = {
            "preferences": [(preferences or {}).get(name, even) for name in self.tasks],
            "ideal": [(ideal or {}).get(name, 0.0) for name in self.tasks],
        }
        for name, numbers in chosen.items():
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32))

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        index = self.index(names)
        preferences = self.preferences[index].to(means)
        heights = preferences * (means - self.ideal[index].to(means)) / self.smoothing
        shares = softmax_of_labelled(heights.detach(), labelled)
        self.remember(present, preferences * shares)
        # The value is that of the smooth maximum; its gradient is the softmax's mean of the heights' gradients.
        top = heights.detach() if labelled is None else heights.detach().where(labelled, -torch.inf)
        value = torch.logsumexp(top, 0).nan_to_num(neginf=0.0)
        return self.smoothing * (value + masked_sum(shares * (heights - heights.detach()), labelled))
