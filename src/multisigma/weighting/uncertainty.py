"""Each task's homoscedastic noise, learned, weighs its loss: section 3 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import Likelihood
from multisigma.weighting.weighting import Weighting


class UncertaintyWeighting(Weighting):
    """The sum over tasks of `weight(s) * L + normaliser(s)`, each with a learned log variance `s`; equations 7 and 10.

    Example:
        >>> import torch
        >>> from multisigma import Laplace, Softmax, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"semantic": Softmax(), "depth": Laplace()})
        >>> objective = weighting({"semantic": torch.tensor(2.0), "depth": torch.tensor(0.5)})
        >>> objective.item()
        2.5
        >>> weighting.weights
        {'semantic': 1.0, 'depth': 1.0}

    Args:
        likelihoods: The likelihood that each task's loss stands for, by task name.
        initial: The log variance to start from, for all tasks or by task name (0 where not named). Appendix B of the
            paper finds the same optimum from -2 to 5.

    Raises:
        MultisigmaError: A likelihood lacks `weight` or `normaliser`, or an initial value is not finite or names no
            task.
    """

    def __init__(self, likelihoods: Mapping[str, Likelihood], initial: float | Mapping[str, float] = 0.0) -> None:
        super().__init__(likelihoods)
        self.likelihoods = dict(likelihoods)
        for name, likelihood in self.likelihoods.items():
            if isinstance(likelihood, type) or not isinstance(likelihood, Likelihood):
                raise MultisigmaError(
                    f"Task {name!r}: a likelihood is an object with the methods `weight` and `normaliser`, such as "
                    f"Gaussian(), Laplace() or Softmax(); found {likelihood!r}."
                )
        values = initial if isinstance(initial, Mapping) else dict.fromkeys(self.tasks, initial)
        unknown = [name for name in values if name not in self.tasks]
        if unknown:
            raise MultisigmaError(f"Parameter `initial` names unknown tasks {unknown}; there are {list(self.tasks)}.")
        for name in self.tasks:
            value = float(values.get(name, 0.0))
            if not math.isfinite(value):
                raise MultisigmaError(f"Parameter `initial` must be finite; found {value} for task {name!r}.")
            parameter = nn.Parameter(torch.tensor(value, dtype=torch.float32))
            self.register_parameter(f"log_variance_{name}", parameter)

    def log_variance(self, name: str) -> Tensor:
        """The task's learned parameter, a scalar."""
        return self.get_parameter(f"log_variance_{name}")

    def term(self, name: str, mean: Tensor) -> Tensor:
        s, likelihood = self.log_variance(name).float(), self.likelihoods[name]
        return likelihood.weight(s) * mean.float() + likelihood.normaliser(s)

    @property
    def weights(self) -> dict[str, float]:
        return {name: self.likelihoods[name].weight(self.log_variance(name).detach()).item() for name in self.tasks}

    @property
    def sigma(self) -> dict[str, float]:
        return {name: (0.5 * self.log_variance(name).detach()).exp().item() for name in self.tasks}
