"""Each task's homoscedastic noise, learned, weighs its loss: section 3 of Kendall, Gal and Cipolla (CVPR 2018)."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.weighting.likelihoods import Likelihood, NoiseInside, Prediction, Scaled
from multisigma.weighting.weighting import PresentLosses, Weighting, masked_sum


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

    Give `param_groups()` to the optimiser: weight decay would pull the noise towards 1.

    Args:
        likelihoods: The likelihood that each task's loss stands for, by task name.
        initial: The log variance to start from, for all tasks or by task name (0 where not named). Appendix B of the
            paper finds the same optimum from -2 to 5.
        bounds: The lowest and highest log variance. A loss at zero has its optimum at minus infinity, where the weight
            would be infinite too; the lowest value stands for the noise that no task is believed to be below, and the
            weight of a Gaussian is at most `exp(-lowest) / 2`. The default is sigma from 0.0009 to 3.3 million.
        normalise: Where given, the weights before the losses are scaled to this sum at each step, and the noise is
            learned as it would be without: against the effective learning rate's growth as the noise shrinks (appendix
            B). Tasks absent from a batch have no share in the sum.
        closed_form: Take the noise at its optimum for the running mean of each loss, instead of learning it. There is
            then no parameter, and nothing for an optimiser to do.
        decay: The running mean's decay per step, for the closed form.

    Raises:
        MultisigmaError: A likelihood lacks `weight` or `normaliser`; an initial value is not finite, is outside the
            bounds, or names no task; bounds, `normalise` or `decay` are out of range; a likelihood has no closed form
            where one is asked for, or has its noise inside where weights are to be normalised.
    """

    log_factor: Tensor
    exponent: Tensor
    half_dimension: Tensor
    optimum_factor: Tensor
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
                "Parameter `likelihoods` must be a dictionary from task names to likelihoods, such as "
                f"{{'depth': Laplace()}}; found {type(likelihoods).__name__}."
            )
        # What is in the family is computed for all tasks at once; the others' own terms are added.
        family = [lik if _is_of_family(lik) else None for lik in likelihoods.values()]
        of_family = [name for name, lik in zip(likelihoods, family, strict=True) if lik]
        super().__init__(likelihoods, dict.fromkeys(of_family, 0.0) if closed_form else None)
        self.likelihoods = dict(likelihoods)
        self.bounds = bounds
        self.normalise, self.closed_form, self.decay = normalise, closed_form, decay
        self._check_settings()
        self.takes_predictions = frozenset(n for n, lik in self.likelihoods.items() if isinstance(lik, NoiseInside))
        for name, likelihood in self.likelihoods.items():
            if isinstance(likelihood, nn.Module):
                self.add_module(f"likelihood_{name}", likelihood)  # for what it learns itself
        starts = self._starts(initial)
        self._own = [name for name in self.tasks if name not in of_family]
        self._one_node = not self._own and normalise is None
        self.register_constants(
            {
                "log_factor": [math.log(lik.factor) if lik else 0.0 for lik in family],
                "exponent": [-lik.power if lik else -1.0 for lik in family],
                "half_dimension": [0.5 * lik.dimension if lik else 0.0 for lik in family],
                "optimum_factor": [2.0 * lik.factor * lik.power / lik.dimension if lik else 1.0 for lik in family],
            }
        )
        if closed_form:
            self.register_buffer("initial", torch.tensor(starts, dtype=torch.float32))
            self.register_buffer("running_loss", torch.zeros(len(starts), dtype=torch.float32))
            self.register_buffer("running_share", torch.zeros(len(starts), dtype=torch.float32))
        else:
            # Of shape (1,): sharding (FSDP) takes no scalars. A parameter each: an optimiser leaves one without a
            # gradient alone, momentum and all.
            self._keys = {name: f"log_variance_{name}" for name in self.tasks}
            for key, start in zip(self._keys.values(), starts, strict=True):
                self.register_parameter(key, nn.Parameter(torch.tensor([start], dtype=torch.float32)))

    def _check_settings(self) -> None:
        low, high = self.bounds if isinstance(self.bounds, tuple | list) and len(self.bounds) == 2 else (None, None)
        if not (isinstance(low, Real) and isinstance(high, Real) and low < high):
            raise MultisigmaError(
                f"Parameter `bounds` must be (lowest, highest), infinite for none; found {self.bounds}."
            )
        self.bounds = (float(low), float(high))
        if self.normalise is not None and not (math.isfinite(self.normalise) and self.normalise > 0):
            raise MultisigmaError(f"Parameter `normalise` must be positive and finite; found {self.normalise}.")
        if not 0 <= self.decay < 1:
            raise MultisigmaError(f"Parameter `decay` must be at least 0 and below 1; found {self.decay}.")
        for name, likelihood in self.likelihoods.items():
            if isinstance(likelihood, type) or not isinstance(likelihood, Likelihood):
                raise MultisigmaError(
                    f"Task {name!r}: a likelihood is an object with the methods `weight` and `normaliser`, such as "
                    f"Gaussian(), Laplace() or Softmax(); found {likelihood!r}."
                )
            if self.closed_form and not hasattr(likelihood, "optimum"):
                raise MultisigmaError(
                    f"Task {name!r}: {likelihood!r} has no method `optimum`, which the closed form needs; learn its "
                    "noise."
                )
            if self.normalise is not None and isinstance(likelihood, NoiseInside):
                raise MultisigmaError(
                    f"Task {name!r}: the noise of {likelihood!r} stands inside the loss and cannot be normalised; "
                    "leave `normalise` out, or use a likelihood of a mean loss."
                )

    def _starts(self, initial: float | Mapping[str, float]) -> list[float]:
        values = initial if isinstance(initial, Mapping) else dict.fromkeys(self.tasks, initial)
        unknown = [name for name in values if name not in self.tasks]
        if unknown:
            raise MultisigmaError(f"Parameter `initial` names unknown tasks {unknown}; there are {list(self.tasks)}.")
        starts = [float(values.get(name, 0.0)) for name in self.tasks]
        low, high = self.bounds
        for name, value in zip(self.tasks, starts, strict=True):
            if not math.isfinite(value):
                raise MultisigmaError(f"Parameter `initial` must be finite; found {value} for task {name!r}.")
            if not low <= value <= high:
                raise MultisigmaError(
                    f"Parameter `initial` must lie within the bounds {self.bounds}; found {value} for task {name!r}."
                )
        return starts

    def log_variance(self, name: str) -> Tensor:
        """The task's log variance, shape (1,): the learned parameter, or the closed form's value.

        Raises:
            MultisigmaError: There is no such task.
        """
        if name not in self.tasks:
            raise MultisigmaError(f"There is no task {name!r}; this weighting has {list(self.tasks)}.")
        if self.closed_form:
            i = self.tasks.index(name)
            return self._optimum()[i : i + 1]
        return self.get_parameter(self._keys[name])

    def negative_log_likelihood(self, name: str, prediction: Prediction) -> tuple[Tensor, Tensor]:
        likelihood = self.likelihoods[name]
        if not isinstance(likelihood, NoiseInside):
            raise MultisigmaError(
                f"Task {name!r}: {likelihood!r} takes a mean loss, or a pair (sum, count); found a Prediction."
            )
        parameter = torch.cat(self._parameters_of([name]))
        inside, _ = _within(parameter, self._bounds_to_keep(parameter))
        try:
            return likelihood.negative_log_likelihood(prediction, inside.squeeze(0))
        except MultisigmaError as error:
            raise MultisigmaError(f"Task {name!r}: {error}") from None

    def combine(self, present: PresentLosses) -> Tensor:
        names, means, labelled = present.names, present.means, present.labelled
        if self.closed_form:
            index = self.index(names)
            self._update_running(index, means.detach(), labelled)
            s, bounds = self._optimum()[index], None
            if self._own and s.is_cpu and not torch.compiler.is_compiling() and s.isnan().any():
                self.by_name(self._optimum())  # an own likelihood may have no optimum at a negative loss: it says whose
        else:
            s = torch.cat(self._parameters_of(names))
            bounds = self._bounds_to_keep(s)
        constants = self._constants_of(names)
        if self._one_node:
            try:
                return _ObjectiveOfFamily.apply(s, means, constants, bounds, labelled)
            except RuntimeError:
                pass  # inside a transform of torch.func, which takes no such function
        s, beyond = _within(s, bounds)
        weight, normaliser = self._weight_and_normaliser(names, s, *constants)
        if beyond is not None:
            normaliser = _pull(normaliser, beyond)
        if self.normalise is None:
            return masked_sum(weight * means + normaliser, labelled)
        shares = weight.detach() if labelled is None else weight.detach().where(labelled, 0.0)
        scaled = shares * (self.normalise / shares.sum().clamp_min(torch.finfo(shares.dtype).tiny))
        # The losses' gradients are those of the scaled weights, the noise's those of the likelihood.
        learned = weight * means.detach() - (weight * means).detach() + normaliser
        return masked_sum(scaled * means + learned, labelled)

    def _constants_of(self, names: Sequence[str]) -> list[Tensor]:
        """Logarithm of the factor, exponent and half of the dimension of each task, shapes (n,)."""
        buffers: dict[str, Any] = self._buffers  # to ask the module for a buffer takes longer than to use it
        constants = [buffers[name] for name in ("log_factor", "exponent", "half_dimension")]
        if len(names) == len(self.tasks):
            return constants
        index = self.index(names)
        return [constant[index] for constant in constants]

    def _weight_and_normaliser(
        self, names: Sequence[str], s: Tensor, log_factor: Tensor, exponent: Tensor, half_dimension: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight = torch.exp(s * exponent + log_factor)
        normaliser = s * half_dimension
        if not self._own:
            return weight, normaliser
        weights, normalisers = list(torch.split(weight, 1)), list(torch.split(normaliser, 1))
        for i, name in enumerate(names):
            if name in self._own:
                likelihood, one = self.likelihoods[name], s[i : i + 1]
                # The weight of a noise that stands inside the loss is in it already.
                inside = isinstance(likelihood, NoiseInside)
                weights[i] = torch.ones_like(one) if inside else _like(one, likelihood.weight(one))
                normalisers[i] = _like(one, likelihood.normaliser(one))
        return torch.cat(weights), torch.cat(normalisers)

    def _parameters_of(self, names: Sequence[str]) -> list[Tensor]:
        # Looked up each time: sharding puts others in their place.
        keys = self._keys.values() if len(names) == len(self.tasks) else [self._keys[name] for name in names]
        try:
            parameters: list[Tensor] = [self._parameters[key] for key in keys]  # type: ignore[misc]
        except KeyError:  # in a replica, or computed from something else
            parameters = [getattr(self, key) for key in keys]
        return parameters

    def _bounds_to_keep(self, s: Tensor) -> tuple[float, float] | None:
        """The bounds; None where the log variances are seen to lie within them."""
        if s.is_cpu and not torch.compiler.is_compiling():
            values = s.tolist()
            if self.bounds[0] <= min(values) and max(values) <= self.bounds[1]:
                return None
        return self.bounds

    def _update_running(self, index: slice | list[int] | Tensor, means: Tensor, labelled: Tensor | None) -> None:
        if not self.training:
            return
        for name, new in (("running_loss", means), ("running_share", torch.ones_like(means))):
            running = getattr(self, name).clone()
            old = running[index]
            value = old.lerp(new.to(old), 1 - self.decay)
            running[index] = value if labelled is None else value.where(labelled, old)
            self.renew(name, running)

    def _optimum(self) -> Tensor:
        """All tasks' log variances by the closed form, shape (T,); the initial value before the first batch."""
        seen = self.running_share > 0
        means = self.running_loss / self.running_share.where(seen, 1.0)
        best = (means * self.optimum_factor).log() / -self.exponent
        if self._own:
            each = list(torch.split(best, 1))
            for i, (name, likelihood) in enumerate(self.likelihoods.items()):
                if name in self._own:
                    mean = means[i : i + 1]
                    each[i] = _like(mean, likelihood.optimum(mean))  # type: ignore[attr-defined]
            best = torch.cat(each)
        return best.where(seen, self.initial).clamp(*self.bounds)

    def _all_log_variances(self) -> Tensor:
        if self.closed_form:
            return self._optimum()
        return torch.cat([_whole(self.log_variance(name).detach()) for name in self.tasks]).clamp(*self.bounds)

    @property
    def weights(self) -> dict[str, float]:
        s = self._all_log_variances()
        each = zip(torch.split(s, 1), self.likelihoods.values(), strict=True)
        found = torch.cat([_like(one, likelihood.weight(one)) for one, likelihood in each])
        return self.by_name(found if self.normalise is None else found * (self.normalise / found.sum()))

    @property
    def sigma(self) -> dict[str, float]:
        return self.by_name((0.5 * self._all_log_variances()).exp())


def _is_of_family(likelihood: Likelihood) -> TypeGuard[Scaled]:
    """Whether its methods are the family's own, and not a subclass's."""
    methods = ("weight", "normaliser", "optimum")
    return isinstance(likelihood, Scaled) and all(getattr(type(likelihood), m) is getattr(Scaled, m) for m in methods)


def _like(one: Tensor, value: Tensor | float) -> Tensor:
    """What a user's own likelihood gives, which may be a constant, as a tensor like that which it was given."""
    return torch.as_tensor(value, dtype=one.dtype, device=one.device).expand_as(one)


def _within(s: Tensor, bounds: tuple[float, float] | None) -> tuple[Tensor, Tensor | None]:
    """The log variances within the bounds, and how far each is beyond; None where all are known to be within."""
    if bounds is None:
        return s, None
    inside = s.clamp(*bounds)
    return inside, s - inside.detach()


def _pull(terms: Tensor, beyond: Tensor) -> Tensor:
    """The terms and, for what is beyond its bounds by d, `|d| / 2 + d^2 / 2`, for the likelihood pulls no more there.

    The first part brings a value back to the bound and across it, where it feels its loss again; the second part
    brings back one that a single step has carried far away.
    """
    distance = beyond.abs()
    return terms.add(torch.addcmul(distance, distance, distance), alpha=0.5)


class _ObjectiveOfFamily(torch.autograd.Function):
    """The sum of `exp(exponent * s + log_factor) * L + half_dimension * s` over labelled tasks, as one node of a graph.

    The constants are log_factor, exponent and half_dimension. A graph of the parts takes the host longer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        s: Tensor,
        means: Tensor,
        constants: Sequence[Tensor],
        bounds: tuple[float, float] | None,
        labelled: Tensor | None,
    ) -> Tensor:
        inside, beyond, weight, weighed = _weighed(s, means, constants, bounds)
        ctx.save_for_backward(s, means, beyond, weight, weighed, labelled, *constants)
        ctx.bounds = bounds
        terms = torch.addcmul(weighed, inside, constants[2])
        return masked_sum(terms if beyond is None else _pull(terms, beyond), labelled)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        s, means, beyond, weight, weighed, labelled, *constants = ctx.saved_tensors
        if torch.is_grad_enabled():  # what was kept is constant, and a second derivative asks for functions of s
            _, beyond, weight, weighed = _weighed(s, means, constants, ctx.bounds)
        slope = torch.addcmul(constants[2], weighed, constants[1])
        if beyond is not None:
            slope = torch.where(beyond == 0, slope, beyond.add(beyond.sign(), alpha=0.5))
        if labelled is not None:  # not by a product: a weight may be infinite
            slope, weight = slope.where(labelled, 0.0), weight.where(labelled, 0.0)
        return gradient * slope, gradient * weight, None, None, None


def _weighed(
    s: Tensor, means: Tensor, constants: Sequence[Tensor], bounds: tuple[float, float] | None
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """What `_within` gives, the weights, and the weighed means."""
    inside, beyond = _within(s, bounds)
    weight = torch.addcmul(constants[0], inside, constants[1]).exp()
    return inside, beyond, weight, weight * means


def _whole(tensor: Tensor) -> Tensor:
    """A parameter that is sharded over processes (FSDP), gathered."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()
