"""The weighting of a configuration: a name or a class path, and options."""

import importlib
import inspect
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser

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
    parameters = inspect.signature(make).parameters
    names = [task.name for task in tasks]
    handed = {"tasks": names, "likelihoods": {task.name: task.likelihood for task in tasks}}
    arguments: dict[str, Any] = handed | {"steps_per_epoch": steps_per_epoch, "seed": config.seed}
    arguments = {name: value for name, value in arguments.items() if name in parameters}
    options = [name for name in parameters if name not in handed]
    types = get_type_hints(make.__init__ if isinstance(make, type) else make)  # type: ignore[misc]
    for name, value in (config.weighting_options or {}).items():
        if name not in options:
            raise MultisigmaError(
                f"Option --weighting.{name} must be an option of --weighting {config.weighting}, which has "
                f"{', '.join(options) or 'none'}."
            )
        arguments[name] = _parse(name, value, types.get(name, Any))
    for name in options:
        if name not in arguments and parameters[name].default is inspect.Parameter.empty:
            raise MultisigmaError(f"Option --weighting.{name} must be given with --weighting {config.weighting}.")
    try:
        weighting = make(**arguments)
    except MultisigmaError as error:
        raise MultisigmaError(f"Option --weighting {config.weighting}: {error}") from error
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
    module, _, attribute = name.rpartition(".")
    if not module:
        raise MultisigmaError(
            f"Option --weighting must be one of {', '.join(WEIGHTINGS)}, or the path of a class such as "
            f"mypackage.module.MyWeighting. Found {name!r}."
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MultisigmaError(
            f"Option --weighting: {name!r} cannot be imported ({error}). Put it on the Python path (PYTHONPATH)."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Weighting)) or inspect.isabstract(found):
        raise MultisigmaError(
            "Option --weighting must be a subclass of multisigma.Weighting with `combine` and `weights`. "
            f"Found {name!r}."
        )
    return found


def _parse(name: str, value: Any, type_: Any) -> Any:
    """Return an option's value as its type; text such as '1e-3' becomes a number."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=type_)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError as error:
        rule = f"must be of type {inspect.formatannotation(type_)}"
        raise MultisigmaError(f"Option --weighting.{name} {rule}. Found {value!r}.") from error
