"""Weigh each loss by a learned homoscedastic noise: section 3 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.base import Loss, TaskLosses, Weighting
from multisigma.weighting.checks import check_positive, values_by_task
from multisigma.weighting.lag import LagWatch
from multisigma.weighting.likelihoods import ExactLikelihood, Likelihood, Prediction


class UncertaintyWeighting(Weighting):
    r"""Uncertainty weighting, the method of the paper; equations 7 and 10.

    $$ \sum_i a_i \, e^{-p_i s_i} L_i + c_i \, s_i $$

    - $L_i$ is the mean loss of task $i$.
    - $s_i = \log \sigma_i^2$ is its log variance, a learned parameter. Give it to the optimiser: `param_groups`.
    - $a_i$, $p_i$ and $c_i$ are the numbers of its likelihood: `multisigma.weighting.likelihoods` has the table.

    It deviates from other implementations in that each task has the likelihood of its own loss, where most use
    $e^{-s} L + s$ for all (give every task `Exponential()` for that). The paper writes no form for its L1 losses; ours
    is the Laplace likelihood, whose weight is $e^{-s/2}$. `bounds`, `normalise` and `closed_form` are our
    additions.

    Args:
        likelihoods: Each task's likelihood by name.
        initial: Log variance at the start, for all tasks or by name (0 where not named). Appendix B of the paper
            reaches the same optimum from any start between -2 and 5.
        bounds: Lowest and highest log variance. As a loss nears zero its optimum goes to minus infinity and its weight
            to infinity. Set the lowest to the smallest noise that a task may have. The default is sigma from
            0.0009 to 3.3 million.
        normalise: Scale the weights of the batch's labelled tasks to this sum. The noise still learns from unscaled
            weights. This keeps the effective learning rate constant; it would grow as the noise shrinks (appendix B).
            The property `weights` reports the scaled weights as if every task had a label. None: do not scale.
        closed_form: Compute the noise as the optimum for the running mean of each loss. There is then no parameter.
        decay: Decay per step of that running mean.

    Raises:
        MultisigmaError: `likelihoods` is not a dictionary of likelihoods; another parameter is out of its range; or
            `closed_form` or `normalise` is used with an exact likelihood.

    Example:
        >>> import torch
        >>> from multisigma import Laplace, Softmax, UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"semantic": Softmax(), "depth": Laplace()})
        >>> weighting
        UncertaintyWeighting(semantic=Softmax(), depth=Laplace())
        >>> weighting({"semantic": torch.tensor(2.0), "depth": torch.tensor(0.5)}).item()
        2.5
        >>> weighting.weights
        {'semantic': 1.0, 'depth': 1.0}
    """

    factor: Tensor
    power: Tensor
    slope: Tensor
    initial: Tensor
    running_loss: Tensor
    running_share: Tensor

    def __init__(
        self,
        likelihoods: Mapping[str, Likelihood],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
        normalise: float | None = None,
        closed_form: bool = False,
        decay: float = 0.99,
    ) -> None:
        if not isinstance(likelihoods, Mapping):
            raise MultisigmaError(
                "Parameter `likelihoods` must be a dictionary such as {'depth': Laplace()}. "
                f"Found {type(likelihoods).__name__}."
            )
        super().__init__(likelihoods)
        self.likelihoods = dict(likelihoods)
        self.bounds, self.normalise, self.closed_form, self.decay = bounds, normalise, closed_form, decay
        self._check_settings()
        starts = values_by_task(self.tasks, "initial", initial, 0.0)
        for name, start in zip(self.tasks, starts, strict=True):
            if not bounds[0] <= start <= bounds[1]:
                raise MultisigmaError(
                    f"Parameter `initial` must be within the bounds {bounds}. Found {start} for task {name!r}."
                )
        self._keys = [f"log_variance_{name}" for name in self.tasks]
        numbers = {
            "factor": [lik.preference * lik.factor for lik in self.likelihoods.values()],
            "power": [lik.power for lik in self.likelihoods.values()],
            "slope": [lik.preference * lik.slope for lik in self.likelihoods.values()],
            "initial": starts,
        }
        self.register_settings({k: torch.tensor(v, dtype=torch.float32, device="cpu") for k, v in numbers.items()})
        if closed_form:
            self.lowest_losses = [0.0 if lik.slope else -math.inf for lik in self.likelihoods.values()]
            # Sums over steps with weights that decay; `running_share` is the sum of these weights.
            self.register_buffer("running_loss", torch.zeros(len(starts), dtype=torch.float32))
            self.register_buffer("running_share", torch.zeros(len(starts), dtype=torch.float32))
        else:
            # One parameter for each task: in one process an absent task's gradient is then None, and the optimiser
            # skips it. Of shape (1,), because FSDP shards no scalars.
            for key, start in zip(self._keys, starts, strict=True):
                self.register_parameter(key, nn.Parameter(torch.tensor([start], dtype=torch.float32)))
        self._lag = LagWatch(self.tasks)

    def weight(self, log_variance: Tensor) -> Tensor:
        """Return each task's weight; shapes (T,)."""
        return self.factor * torch.exp(-self.power * log_variance)

    def regulariser(self, log_variance: Tensor) -> Tensor:
        """Return each task's term that keeps the noise from growing without end; shapes (T,)."""
        return self.slope * log_variance

    def optimum(self, mean: Tensor) -> Tensor:
        """Return the log variances that minimise the objective at given mean losses; shapes (T,).

        Where the slope is 0 (Poisson and exact likelihoods) this is the initial value, which is then no optimum.
        """
        best = torch.log(self.factor * self.power / self.slope * mean) / self.power
        return best.where(self.slope > 0, self.initial).clamp(*self.bounds)

    def combine(self, batch: TaskLosses) -> Tensor:
        log_variance = self._log_variances(batch)
        inside = log_variance.clamp(*self.bounds)
        # The clamp blocks the loss's gradient beyond the bounds. This penalty pulls the parameter back.
        beyond = (log_variance - inside).abs()
        weight = self.weight(inside)
        rest = self.regulariser(inside) + 0.5 * (beyond + beyond.square())
        if self.normalise is None:
            return batch.sum(weight * batch.mean + rest)
        # The first sum has the gradient of the network alone, the second that of the noise alone.
        scaled = self.normalise * weight.detach() / batch.sum(weight.detach())
        return batch.sum(scaled * batch.mean) + batch.sum(weight * batch.mean.detach() + rest)

    def log_variance(self, name: str) -> Tensor:
        """Return a task's log variance, shape (1,): its parameter, or the closed form's value.

        Raises:
            MultisigmaError: There is no such task.
        """
        if name not in self.tasks:
            raise MultisigmaError(f"There is no task {name!r}. This weighting has {list(self.tasks)}.")
        if self.closed_form:
            return self._running_optimum()[[self.tasks.index(name)]]
        parameter: Tensor = getattr(self, f"log_variance_{name}")
        return parameter

    @property
    def weights(self) -> dict[str, float]:
        weight = self.weight(self._whole_log_variances())
        return self.by_name(weight if self.normalise is None else self.normalise * weight / weight.sum())

    @property
    def sigma(self) -> dict[str, float]:
        return self.by_name(torch.exp(0.5 * self._whole_log_variances()))

    def sum_and_count(self, name: str, loss: Loss) -> tuple[Tensor, Tensor | float]:
        likelihood = self.likelihoods[name]
        if not isinstance(likelihood, ExactLikelihood) or loss is None:
            return super().sum_and_count(name, loss)
        if not isinstance(loss, Prediction):
            raise MultisigmaError(
                f"Task {name!r}: {likelihood!r} takes a Prediction(output, target). Found {type(loss).__name__}."
            )
        try:
            return likelihood.negative_log_likelihood(loss, self.log_variance(name).clamp(*self.bounds).squeeze(0))
        except MultisigmaError as error:
            raise MultisigmaError(f"Task {name!r}: {error}") from None

    def extra_repr(self) -> str:
        """Return the tasks with their likelihoods, for `repr`."""
        return ", ".join(f"{name}={likelihood!r}" for name, likelihood in self.likelihoods.items())

    def _log_variances(self, batch: TaskLosses) -> Tensor:
        """Return all tasks' log variances, shape (T,)."""
        if self.closed_form:
            if self.training:
                self._update_running(batch)
            return self._running_optimum()
        parameters = [getattr(self, key) for key in self._keys]
        # Detach absent tasks, so that their gradient is None. With a gradient of zero, momentum would still move them.
        used = [p if here else p.detach() for p, here in zip(parameters, batch.present, strict=True)]
        log_variances = torch.cat(used)
        if self.training and not torch.compiler.is_compiling() and self._lag.is_due():
            now = log_variances.detach().clamp(*self.bounds)
            self._lag.look(now, self.optimum(batch.mean.detach()), batch.labelled & (self.slope > 0))
        return log_variances

    def _update_running(self, batch: TaskLosses) -> None:
        ones = torch.ones_like(batch.mean)
        for name, value in (("running_loss", batch.mean.detach()), ("running_share", ones)):
            running = self.get_buffer(name)
            updated = running.lerp(value.to(running), 1 - self.decay)
            # `_check` skips most calls on an accelerator. Leave out a loss that is not finite: it would stay for good.
            self.replace_buffer(name, updated.where(batch.labelled & batch.mean.isfinite(), running))

    def _running_optimum(self) -> Tensor:
        """Return the closed form's log variances, shape (T,). A task never labelled so far has its initial value."""
        seen = self.running_share > 0
        return self.optimum(self.running_loss / self.running_share.where(seen, 1.0)).where(seen, self.initial)

    def _whole_log_variances(self) -> Tensor:
        """Return all tasks' log variances within the bounds, shape (T,), gathered where FSDP shards them."""
        parts: Sequence[Tensor] = [self.log_variance(name).detach() for name in self.tasks]
        whole = [part.full_tensor() if hasattr(part, "full_tensor") else part for part in parts]
        return torch.cat(whole).clamp(*self.bounds)

    def _check_settings(self) -> None:
        numbers = isinstance(self.bounds, tuple | list) and all(isinstance(bound, int | float) for bound in self.bounds)
        if not (numbers and len(self.bounds) == 2 and self.bounds[0] < self.bounds[1]):
            raise MultisigmaError(f"Parameter `bounds` must be (lowest, highest). Found {self.bounds}.")
        if self.normalise is not None:
            check_positive("normalise", self.normalise)
        if not 0 <= self.decay < 1:
            raise MultisigmaError(f"Parameter `decay` must be at least 0 and below 1. Found {self.decay}.")
        for name, likelihood in self.likelihoods.items():
            if not isinstance(likelihood, Likelihood):
                raise MultisigmaError(
                    f"Task {name!r}: a likelihood must be an object such as Gaussian(), Laplace() or Softmax(). "
                    f"Found {likelihood!r}."
                )
            if isinstance(likelihood, ExactLikelihood) and (self.closed_form or self.normalise is not None):
                option = "closed_form" if self.closed_form else "normalise"
                raise MultisigmaError(
                    f"Task {name!r}: {likelihood!r} has its noise inside the loss, so `{option}` cannot be used. Leave "
                    "it out, or use a likelihood of a mean loss."
                )
