"""Weigh each loss by a learned homoscedastic noise: section 3 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.base import Weighting
from multisigma.weighting.checks import check_interval, check_likelihoods, check_positive, listed, values_by_task
from multisigma.weighting.constants import constant
from multisigma.weighting.lag import LagWatch
from multisigma.weighting.likelihoods import ExactLikelihood, Likelihood, Prediction
from multisigma.weighting.losses import Loss, TaskLosses


class UncertaintyWeighting(Weighting):
    r"""Uncertainty weighting, the method of the paper; equations 7 and 10.

    $$ \sum_i a_i \, e^{-p_i s_i} L_i + c_i \, s_i $$

    - $L_i$ is the mean loss of task $i$.
    - $s_i = \log \sigma_i^2$ is its log variance, a learned parameter. `param_groups` gives it to the optimiser.
    - $a_i$, $p_i$ and $c_i$ are constants of its likelihood. `multisigma.weighting.likelihoods` has them in a table.

    Most implementations use $e^{-s} L + s$ for every task. Here each task has the likelihood that fits its loss;
    `Exponential()` is the common form. The paper gives no formula for its L1 losses. We use the Laplace likelihood,
    whose weight is $e^{-s/2}$. `bounds`, `normalise` and `closed_form` are our additions.

    Args:
        likelihoods: Each task's likelihood by name.
        initial: Log variance at the start, for all tasks or by name (0 where not named). In appendix B of the paper,
            training reaches the same optimum from any start between -2 and 5.
        bounds: Lowest and highest log variance. Without them, a loss of zero would take its log variance to minus
            infinity and its weight to infinity. If you know the smallest sigma that a task may have, set the lowest
            bound to 2 log(sigma). The default lets sigma range from 0.0009 to 3.3 million.
        normalise: If given, scale the labelled tasks' weights so that they sum to this number. The noise still learns
            from the unscaled weights. Without scaling, the effective learning rate grows as the noise shrinks (appendix
            B). The property `weights` does not know which tasks have labels, so it scales over all tasks. None: do not
            scale.
        closed_form: Do not learn the noise. Compute it as the optimum for the running mean of each loss.
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

    running: Tensor

    def __init__(
        self,
        likelihoods: Mapping[str, Likelihood],
        initial: float | Mapping[str, float] = 0.0,
        bounds: tuple[float, float] = (-14.0, 30.0),
        normalise: float | None = None,
        closed_form: bool = False,
        decay: float = 0.99,
    ) -> None:
        check_likelihoods(likelihoods)
        super().__init__(likelihoods)
        check_interval("bounds", bounds)
        if normalise is not None:
            check_positive("normalise", normalise)
        if not 0 <= decay < 1:
            raise MultisigmaError(f"Parameter `decay` must be at least 0 and below 1. Found {decay}.")
        self.likelihoods = dict(likelihoods)
        self.bounds, self.normalise, self.closed_form, self.decay = bounds, normalise, closed_form, decay
        self.exact = {name: one for name, one in likelihoods.items() if isinstance(one, ExactLikelihood)}
        if self.exact and (closed_form or normalise is not None):
            raise MultisigmaError(
                f"Parameters `closed_form` and `normalise` cannot be used with {listed(list(self.exact))}, whose noise "
                "is inside the loss. Leave them out, or use likelihoods of a mean loss."
            )
        self.initial = tuple(values_by_task(self.tasks, "initial", initial, 0.0))
        for name, start in zip(self.tasks, self.initial, strict=True):
            if not bounds[0] <= start <= bounds[1]:
                raise MultisigmaError(
                    f"Parameter `initial` must be within the bounds {bounds}. Found {start} for task {name!r}."
                )
        self.factor = tuple(one.preference * one.factor for one in likelihoods.values())
        self.power = tuple(one.power for one in likelihoods.values())
        self.slope = tuple(one.preference * one.slope for one in likelihoods.values())
        self.parameter_names = [f"log_variance_{name}" for name in self.tasks]
        if closed_form:
            self.lowest_losses = [0.0 if slope else -math.inf for slope in self.slope]
            # Row 0 is a decayed sum of the losses. Row 1 is the same sum with 1 in place of each loss. The quotient is
            # the running mean.
            self.register_buffer("running", torch.zeros(2, len(self.tasks), dtype=torch.float32))
        else:
            # One parameter for each task: the gradient of an absent task can then be None, so that the optimiser skips
            # it. The shape is (1,), because FSDP shards no scalars.
            for name, start in zip(self.parameter_names, self.initial, strict=True):
                self.register_parameter(name, nn.Parameter(torch.tensor([start], dtype=torch.float32)))
        self._lag = LagWatch(self.tasks)

    def weight(self, log_variance: Tensor) -> Tensor:
        """Return each task's weight; shapes (T,)."""
        device = log_variance.device
        return constant(self.factor, device) * torch.exp(-constant(self.power, device) * log_variance)

    def regulariser(self, log_variance: Tensor) -> Tensor:
        """Return the term $c s$ of each task, which keeps its noise from growing without end; shapes (T,)."""
        return constant(self.slope, log_variance.device) * log_variance

    def optimum(self, mean: Tensor) -> Tensor:
        """Return the log variances that minimise the objective at given mean losses; shapes (T,).

        NaN where no minimum exists: for a negative loss, and for likelihoods without the term $c s$ (Poisson, exact
        ones).
        """
        factor, power, slope = (constant(values, mean.device) for values in (self.factor, self.power, self.slope))
        return (torch.log(factor * power / slope * mean) / power).clamp(*self.bounds)

    def combine(self, batch: TaskLosses) -> Tensor:
        log_variance = self._log_variances(batch)
        # Usually no log variance is beyond its bounds. Then leave out the clamp and the penalty, which cost time.
        inside = log_variance if self._is_inside(log_variance) else log_variance.clamp(*self.bounds)
        weight, rest = self.weight(inside), self.regulariser(inside)
        if inside is not log_variance:
            # The clamp blocks the loss's gradient to a parameter beyond its bounds. The penalty pulls it back.
            beyond = (log_variance - inside).abs()
            rest = rest + 0.5 * (beyond + beyond.square())
        learned = self.training and not self.closed_form
        if learned and not torch.compiler.is_compiling() and self._lag.is_due():
            self._lag.look(inside.detach(), self.optimum(batch.mean.detach()), batch.labelled)
        if self.normalise is None:
            return batch.sum(weight * batch.mean + rest)
        # The network learns from the first sum alone, the noise from the second alone.
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

    def prepare(self, name: str, loss: Loss) -> Loss:
        """Return a task's loss. An exact likelihood computes it from a `Prediction`."""
        likelihood = self.exact.get(name)
        if likelihood is None or loss is None:
            return loss
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
        if not self.closed_form:
            parameters = [getattr(self, name) for name in self.parameter_names]
            # Detach absent tasks, so that their gradient is None. With a gradient of 0, momentum would still move them.
            return torch.cat([p if here else p.detach() for p, here in zip(parameters, batch.present, strict=True)])
        if self.training:
            mean = batch.mean.detach().to(self.running)
            updated = self.running.lerp(torch.stack([mean, torch.ones_like(mean)]), 1 - self.decay)
            # On an accelerator `_check` misses most losses that are not finite. In a running mean, one such loss would
            # make all later values NaN.
            self.replace_buffer("running", updated.where(batch.labelled & mean.isfinite(), self.running))
        return self._running_optimum()

    def _running_optimum(self) -> Tensor:
        """Return the closed form's log variances, shape (T,). A task without an optimum has its initial value."""
        best = self.optimum(self.running[0] / self.running[1])
        return constant(self.initial, best.device).where(best.isnan(), best)

    def _whole_log_variances(self) -> Tensor:
        """Return all tasks' log variances within the bounds, shape (T,). Gather them if FSDP has sharded them."""
        if self.closed_form:
            return self._running_optimum()
        parts = [getattr(self, name).detach() for name in self.parameter_names]
        whole = [part.full_tensor() if hasattr(part, "full_tensor") else part for part in parts]
        return torch.cat(whole).clamp(*self.bounds)

    def _is_inside(self, log_variance: Tensor) -> bool:
        """Return whether all log variances are within the bounds. False if finding out would wait for a device."""
        if torch.compiler.is_compiling() or not log_variance.is_cpu:
            return False
        return all(self.bounds[0] <= value <= self.bounds[1] for value in log_variance.tolist())
