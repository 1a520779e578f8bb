"""How a configuration names a class of a user's own, and gives it options."""

import importlib
import inspect
from argparse import ArgumentError
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from multisigma.errors import MultisigmaError

__all__ = ["call_with_options", "import_class", "is_foreign"]

_T = TypeVar("_T")


def import_class(path: str, base: type[_T], option: str) -> type[_T]:
    """Import a class by its path.

    Args:
        path: The path, as 'package.module.Class'.
        base: The class that it must derive from.
        option: What the path is the value of, such as '--weighting', for messages.

    Raises:
        MultisigmaError: The path has no module, cannot be imported, or leads to no such class; or methods are missing.

    Example:
        >>> import_class("fractions.Fraction", object, "--number")
        <class 'fractions.Fraction'>
    """
    module, _, name = path.rpartition(".")
    kind = f"{base.__module__.rpartition('.')[0] or base.__module__}.{base.__name__}"
    if not module:
        raise MultisigmaError(f"Option {option} must be the path of a class, 'package.module.Class'. Found {path!r}.")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        # The module is a user's: anything can go wrong in it.
        raise MultisigmaError(
            f"Option {option}: {path!r} cannot be imported ({type(error).__name__}: {error}). Correct the path or the "
            "module. It must be on the Python path (PYTHONPATH)."
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise MultisigmaError(f"Option {option} must be a class derived from {kind}. Found {path!r}, which is none.")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise MultisigmaError(
            f"Option {option}: {path!r} must define all that {kind} asks for. Found no {', '.join(missing)}."
        )
    return found


def is_foreign(name: str) -> bool:
    """Return whether a name in a configuration is the path of a class that is not this package's own.

    Example:
        >>> is_foreign("depth"), is_foreign("mypackage.module.MyTask")
        (False, True)
    """
    return "." in name and not name.startswith("multisigma.experiments.")


def call_with_options(
    make: Callable[..., _T], options: Mapping[str, Any], given: Mapping[str, Any], flag: str, owner: str
) -> _T:
    """Call a constructor with a user's options.

    Args:
        make: A class, or a function.
        options: The user's values by parameter name; text becomes the type of the parameter, such as '1e-3' a number.
        given: Values that are passed where the constructor has such a parameter; these are no options.
        flag: The options' prefix, such as '--weighting', for messages.
        owner: What has the options, such as '--weighting famo', for messages.

    Raises:
        MultisigmaError: An option is unknown, missing or of the wrong type; or the constructor raised it.

    Example:
        >>> call_with_options(lambda a, b=2: (a, b), {"b": "3"}, {"a": 1}, "--x", "--x y")
        (1, 3)
    """
    parameters = inspect.signature(make).parameters
    arguments = {name: value for name, value in given.items() if name in parameters}
    taken = {
        name: parameter
        for name, parameter in parameters.items()
        if name not in given and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    types = get_type_hints(make.__init__ if isinstance(make, type) else make)  # type: ignore[misc]
    for name, value in options.items():
        if name not in taken:
            raise MultisigmaError(
                f"Option {flag}.{name} must be an option of {owner}, which has {', '.join(taken) or 'none'}."
            )
        arguments[name] = _parse(f"{flag}.{name}", value, types.get(name, Any))
    for name, parameter in taken.items():
        if name not in arguments and parameter.default is inspect.Parameter.empty:
            raise MultisigmaError(f"Option {flag}.{name} must be given with {owner}. Found none.")
    try:
        return make(**arguments)
    except MultisigmaError as error:
        raise MultisigmaError(f"Option {owner}: {error}") from error


def _parse(option: str, value: Any, type_: Any) -> Any:
    """Return an option's value as its type."""
    # Here, because programs that give no options start without the parser.
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=type_)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError as error:
        rule = f"must be of type {inspect.formatannotation(type_).replace('typing.', '')}"
        raise MultisigmaError(f"Option {option} {rule}. Found {value!r}.") from error
