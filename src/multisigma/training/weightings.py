"""The weighting of a configuration: a name or a class path, and options."""

import inspect
from collections.abc import Callable, Iterable, Sequence

from multisigma.class_paths import call_with_options, import_class
from multisigma.errors import MultisigmaError
from multisigma.tasks import Task
from multisigma.training.config import TrainConfig
from multisigma.weighting import (
    FAMO,
    GLS,
    IMTLL,
    RLW,
    UWSO,
    DynamicWeightAverage,
    EqualWeighting,
    FixedWeighting,
    GradientAggregation,
    GradNorm,
    LogTransform,
    RevisedUncertaintyWeighting,
    SmoothTchebycheff,
    UncertaintyWeighting,
    Weighting,
)
from multisigma.weighting.gradient_aggregation import METHODS as AGGREGATORS


def _aggregation(aggregator: str) -> Callable[..., Weighting]:
    def make(tasks: Iterable[str]) -> Weighting:
        return GradientAggregation(tasks, aggregator)

    return make


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {
    "uncertainty": UncertaintyWeighting,
    "uniform": IMTLL,
    "revised_uncertainty": RevisedUncertaintyWeighting,
    "imtl_l": IMTLL,
    "equal": EqualWeighting,
    "fixed": FixedWeighting,
    "rlw": RLW,
    "dwa": DynamicWeightAverage,
    "gls": GLS,
    "log_transform": LogTransform,
    "uw_so": UWSO,
    "famo": FAMO,
    "stch": SmoothTchebycheff,
    "gradnorm": GradNorm,
    "gradient_aggregation": GradientAggregation,
} | {name: _aggregation(name) for name in AGGREGATORS}


def make_weighting(config: TrainConfig, tasks: Sequence[Task], steps_per_epoch: int = 1) -> Weighting:
    """Make the weighting of a configuration.

    Its constructor is handed what it has a parameter for: `tasks`, the tasks' names; `likelihoods`, each task's
    likelihood by name; `steps_per_epoch` and `seed`, unless they are among the options. Its other parameters are the
    options.

    Args:
        config: The run's configuration.
        tasks: The tasks that it names.
        steps_per_epoch: Iterations of one epoch of the training data.

    Raises:
        MultisigmaError: There is no such weighting, or an option is unknown, missing or of the wrong type; or the
            weighting has other tasks.
    """
    make = _find(config.weighting)
    names = [task.name for task in tasks]
    given = {"tasks": names, "likelihoods": {task.name: task.likelihood for task in tasks}}
    of_run = {"steps_per_epoch": steps_per_epoch, "seed": config.seed}
    options = {name: value for name, value in of_run.items() if name in inspect.signature(make).parameters}
    options |= config.weighting_options or {}
    weighting = call_with_options(make, options, given, "--weighting", f"--weighting {config.weighting}")
    if set(weighting.tasks) != set(names):
        raise MultisigmaError(
            f"Option --weighting {config.weighting} must weigh the tasks {', '.join(names)}. "
            f"Found {', '.join(weighting.tasks)}."
        )
    return weighting


def has_tasks_likelihoods(weighting: Weighting) -> bool:
    """Return whether `weighting.sigma` belongs to the tasks' own likelihoods, which calibration measures."""
    return "likelihoods" in inspect.signature(type(weighting)).parameters


def _find(name: str) -> Callable[..., Weighting]:
    """Return a weighting's constructor by its name or class path."""
    if name in WEIGHTINGS:
        return WEIGHTINGS[name]
    if "." not in name:
        raise MultisigmaError(
            f"Option --weighting must be one of {', '.join(WEIGHTINGS)}, or the path of a class such as "
            f"mypackage.module.MyWeighting. Found {name!r}."
        )
    # The base class is abstract, which a type may not be for mypy.
    return import_class(name, Weighting, "--weighting")  # type: ignore[type-abstract]
