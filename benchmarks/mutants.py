"""Change the weighting library and the metrics in small ways, and see whether their tests notice.

python benchmarks/mutants.py [--count 300] [--seed 0] [--processes 1] [--survivors] \
    [--out benchmarks/results/mutants.json]

A mutant has one changed operator, comparison, number, condition or name, or lacks one statement. Messages of errors,
docstrings and annotations are left alone. The tests of the mutated module run in a forked process until one fails;
a mutant whose tests pass survives. Processes that a test starts anew run the sound module. A run goes on where the
one before ended, which the results tell, until a source file of the two packages or the seed changes.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numba

ROOT = Path(__file__).parents[1]
PACKAGES = ("weighting", "metrics")
# Processor seconds of a mutant's tests, and seconds by the clock; more is an endless loop or a deadlock.
SECONDS, CLOCK_SECONDS = 300, 1800
_WEIGHTING = ("test_weighting", "test_uncertainty", "test_new_users", "test_task_state", "test_likelihoods")
_METHODS = ("test_methods", "test_new_users", "test_task_state", "test_weighting")
# The smallest set of test files that covers each module, its own first; `_METHODS` of the methods, which are not named.
TESTS: dict[str, Sequence[str]] = {
    "weighting/uncertainty": ("test_uncertainty", *_WEIGHTING),
    "weighting/likelihoods": ("test_likelihoods", "test_uncertainty", "test_new_users"),
    "weighting/lag": ("test_new_users", "test_uncertainty"),
    "weighting/gradient_aggregation": ("test_gradient_aggregation",),
    "weighting/shared_gradients": ("test_gradient_aggregation", "test_methods"),
    **dict.fromkeys(("weighting/base", "weighting/losses", "weighting/checks"), (*_WEIGHTING, "test_methods")),
    **dict.fromkeys(
        ("weighting/task_state", "weighting/constants"),
        ("test_task_state", *_WEIGHTING, "test_methods", "test_compile_and_precision"),
    ),
    "metrics/segmentation": ("test_segmentation_metric",),
    "metrics/instance": ("test_compiled", "test_instance_metric"),
    "metrics/panoptic": ("test_panoptic_metric",),
    "metrics/tracking": ("test_tracking_metric",),
    "metrics/depth": ("test_depth_metric",),
    "metrics/regression": ("test_regression_metric", "test_calibration"),
    "metrics/calibration": ("test_calibration",),
    "metrics/evaluation": ("test_evaluation",),
    "metrics/base": ("test_evaluation", "test_segmentation_metric", "test_regression_metric"),
    "metrics/counting": (
        "test_compiled",
        "test_segmentation_metric",
        "test_panoptic_metric",
        "test_instance_metric",
        "test_depth_metric",
    ),
}
# What the tests import, the package itself apart, is loaded once: each forked process has it.
_LOADED = (
    *("pytest", "hypothesis.strategies", "numba", "cv2", "PIL.Image", "PIL.ImageOps", "yaml", "scipy.stats"),
    *("sklearn.metrics", "torch.distributed.checkpoint", "torch.optim.swa_utils", "torch.distributions"),
    *("torchjd.aggregation", "torchjd.autojac", "torchjd.scalarization"),
)
_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "mean", "mean": "sum", "exp": "log"}


@dataclass(frozen=True)
class Mutant:
    """A changed module.

    Args:
        module: Such as 'metrics/depth'.
        line: Line of the change.
        before: The source that changes.
        after: The source in its place.
        code: The whole module.
        compiled: Whether numba compiles what changes.
    """

    module: str
    line: int
    before: str
    after: str
    code: ast.Module
    compiled: bool


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Make every mutant of a file."""
    text = path.read_text(encoding="utf-8")
    module = f"{path.parent.name}/{path.stem}"
    for number in range(sum(1 for _ in _places(ast.parse(text)))):
        tree = ast.parse(text)
        parent, field, index, node, compiled = next(place for i, place in enumerate(_places(tree)) if i == number)
        for change in range(len(_changes(node))):
            tree = ast.parse(text)
            parent, field, index, node, compiled = next(place for i, place in enumerate(_places(tree)) if i == number)
            new = ast.copy_location(_changes(node)[change], node)
            before, after = ast.unparse(node), ast.unparse(new)
            if index is None:
                setattr(parent, field, new)
            else:
                getattr(parent, field)[index] = new
            yield Mutant(module, node.lineno, before[:200], after[:200], ast.fix_missing_locations(tree), compiled)


_Place = tuple[ast.AST, str, int | None, ast.expr | ast.stmt, bool]


def _places(tree: ast.AST, compiled: bool = False) -> Iterator[_Place]:
    """Yield what may change: expressions and statements of functions, but no messages, annotations and docstrings."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params", "keywords") and not isinstance(
            tree, ast.Call
        ):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.Assert):
                continue
            inside = compiled
            if isinstance(node, ast.FunctionDef):
                inside = any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
            in_function = not isinstance(tree, ast.Module | ast.ClassDef)
            if in_function and isinstance(node, ast.expr | ast.stmt) and _changes(node):
                yield tree, field, index, node, inside
            yield from _places(node, inside)


def _changes(node: ast.AST) -> list[ast.AST]:
    """Return what may stand in the place of a node."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in _COMPARISONS:
            return [ast.Compare(left, [_COMPARISONS[type(operator)]()], [right])]
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return [ast.BinOp(left, _OPERATORS[type(operator)](), right)]
        case ast.BoolOp(operator, values):
            return [ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)]
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            return [operand]
        case ast.Constant(bool(value)):
            return [ast.Constant(not value)]
        case ast.Constant(int(value) | float(value)):
            return [ast.Constant(value + 1)]
        case ast.IfExp(test, body, other):
            return [ast.IfExp(test, other, body)]
        case ast.Name(name) if name in ("min", "max", "any", "all"):
            return [ast.Name(_NAMES[name], ast.Load())]
        case ast.Attribute(value, name) if name in _NAMES:
            return [ast.Attribute(value, _NAMES[name], ast.Load())]
        case ast.AugAssign(target, operator, value) if type(operator) in _OPERATORS:
            return [ast.AugAssign(target, _OPERATORS[type(operator)](), value)]
        case ast.Expr(ast.Call()) | ast.Continue() | ast.Break():
            return [ast.Pass()]
        case ast.If(test, body, other):
            return [ast.If(ast.UnaryOp(ast.Not(), test), body, other)]
    return []


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module the mutant's code."""

    def __init__(self, mutant: Mutant, path: Path) -> None:
        self.mutant, self.path = mutant, path
        self.name = f"multisigma.{mutant.module.replace('/', '.')}"

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.mutant.code, str(self.path), "exec"), module.__dict__)


Outcome = Literal["killed", "survived", "timed out"]


def start_tests(mutant: Mutant) -> int:
    """Run the tests of a mutant until one fails, in a forked process; return its number."""
    source = ROOT / "src" / "multisigma" / f"{mutant.module}.py"
    paths = tests_of(mutant.module)
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            signal.alarm(CLOCK_SECONDS)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            with tempfile.TemporaryDirectory() as folder:
                if mutant.compiled:
                    # The cache does not see changed constants.
                    numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
                sys.meta_path.insert(0, _Finder(mutant, source))
                import pytest

                options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
                options += ["-k", "not type_checker and not needs_no_numpy and not torch_alone"]
                code = int(pytest.main([*options, *paths]))
        finally:
            os._exit(code)
    return child


def outcome_of(mutant: Mutant, status: int) -> Outcome:
    """Return what the status of a process of `start_tests` says.

    Raises:
        RuntimeError: pytest could not run the tests.
    """
    code = os.waitstatus_to_exitcode(status)
    if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM):
        return "timed out"
    if code in (0, 1, 2):  # of pytest: all passed, one failed, a module could not be imported
        return "killed" if code else "survived"
    if code < 0:
        return "killed"  # by a crash
    raise RuntimeError(f"{mutant.module}:{mutant.line}: pytest must run the tests. Found its exit status {code}.")


def tests_of(module: str) -> list[str]:
    """Return what pytest is to run for a module."""
    package, name = module.split("/")
    names = [*TESTS.get(module, _METHODS), *(("test_directions",) if package == "metrics" else ())]
    paths = [f"tests/{package}/{test}.py" for test in dict.fromkeys(names)]
    if missing := [path for path in paths if not (ROOT / path).is_file()]:
        raise FileNotFoundError(f"{module}: `TESTS` must name files of tests. Found no {missing[0]}.")
    source = ROOT / "src" / "multisigma" / f"{module}.py"
    if ">>> " in source.read_text(encoding="utf-8"):
        paths.append(f"tests/test_docstrings.py::test_examples[multisigma.{package}.{name}]")
    return paths


def main() -> None:
    """Test the mutants, and write what became of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--survivors", action="store_true", help="test those that survived again, after a new test")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sources = [
        path
        for package in PACKAGES
        for path in sorted((ROOT / "src" / "multisigma" / package).glob("*.py"))
        if path.name != "__init__.py"
    ]
    found = [mutant for path in sources for mutant in mutants_of(path)]
    for mutant in found:
        tests_of(mutant.module)
    random.Random(arguments.seed).shuffle(found)
    made_of = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    result: dict[str, Any] = {"seed": arguments.seed, "sha256 of the sources": made_of}
    mutants: list[dict[str, Any]] = []
    if arguments.out.is_file():
        before = json.loads(arguments.out.read_text(encoding="utf-8"))
        if result.items() <= before.items():
            mutants = before["mutants"]
    for name in _LOADED:
        importlib.import_module(name)
    tested = {each["number"]: each for each in mutants}
    again = {number for number, each in tested.items() if arguments.survivors and each["outcome"] == "survived"}
    waiting = sorted(again | set(range(min(arguments.count, len(found)))) - tested.keys())
    running: dict[int, int] = {}
    while waiting or running:
        while waiting and len(running) < arguments.processes:
            number = waiting.pop(0)
            running[start_tests(found[number])] = number
        process, status = os.wait()
        number = running.pop(process)
        mutant = found[number]
        outcome = outcome_of(mutant, status)
        tested[number] = {
            "number": number,
            "module": mutant.module,
            "line": mutant.line,
            "before": mutant.before,
            "after": mutant.after,
            "outcome": outcome,
        }
        print(f"{number} {outcome} {mutant.module}:{mutant.line} {mutant.before!r} -> {mutant.after!r}", flush=True)
        survivors = sum(each["outcome"] == "survived" for each in tested.values())
        result |= {
            "mutants there are": len(found),
            "tested": len(tested),
            "killed": len(tested) - survivors,
            "share killed": round(1 - survivors / len(tested), 4),
            "mutants": [tested[number] for number in sorted(tested)],
        }
        arguments.out.write_text(json.dumps(result | _environment(), indent=1) + "\n", encoding="utf-8")


@functools.cache
def _environment() -> dict[str, Any]:
    """Return what this runs on, asked in another process: here the package must not be loaded."""
    code = "import json; from multisigma.training import environment as e; print(json.dumps(e.describe_environment()))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {"environment": json.loads(printed)}


if __name__ == "__main__":
    main()
