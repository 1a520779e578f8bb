"""The tasks of a configuration: built-in names or class paths, and options."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from multisigma.class_paths import call_with_options, import_class
from multisigma.errors import MultisigmaError
from multisigma.tasks.base import Task

__all__ = ["BUILT_IN", "load_tasks"]

BUILT_IN: Final = {
    "semantic": "Semantic",
    "instance": "Instance",
    "depth": "Depth",
    "normals": "Normals",
}
"""Class of each built-in task by its name, which is also its module's."""


def load_tasks(names: Sequence[str], options: Mapping[str, Mapping[str, Any]] | None = None) -> list[Task]:
    """Load the tasks of a configuration.

    Args:
        names: Built-in tasks by name, such as 'depth', and a user's own as 'package.module.Class'.
        options: Options of the tasks' constructors, by the name of the task; None for none.

    Raises:
        MultisigmaError: A name is unknown, cannot be imported, is no task, or is given twice; there is none; or an
            option is of no task, unknown, missing or of the wrong type.

    Example:
        >>> [task.name for task in load_tasks(["semantic", "depth"], {"depth": {"likelihood": "gaussian"}})]
        ['semantic', 'depth']
    """
    if not names:
        raise MultisigmaError("Option --tasks must name at least one task. Found none.")
    classes = [_find(name) for name in names]
    found = [task.name for task in classes]
    if len(set(found)) < len(found):
        raise MultisigmaError(f"Option --tasks must name each task once. Found {', '.join(found)}.")
    options = options or {}
    for name in options:
        if name not in found:
            raise MultisigmaError(f"Option --task.{name} must belong to one of the tasks {', '.join(found)}.")
    return [
        call_with_options(task, options.get(task.name) or {}, {}, f"--task.{task.name}", f"the task {task.name}")
        for task in classes
    ]


def _find(name: str) -> type[Task]:
    """Return the class of a task by its name or class path."""
    if name in BUILT_IN:
        found: type[Task] = getattr(importlib.import_module(f"multisigma.tasks.{name}"), BUILT_IN[name])
        return found
    if "." not in name:
        raise MultisigmaError(
            f"Option --tasks must name any of {', '.join(BUILT_IN)}, or the path of a class such as "
            f"mypackage.module.MyTask. Found {name!r}."
        )
    # The base class is abstract, which a type may not be for mypy.
    task = import_class(name, Task, "--tasks")  # type: ignore[type-abstract]
    if not isinstance(getattr(task, "name", None), str):
        raise MultisigmaError(f'Option --tasks: {name!r} must have a name, as in `name = "height"`. Found none.')
    return task
