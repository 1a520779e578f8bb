"""Change the weighting library and the metrics in small ways, and see whether their tests notice.

python benchmarks/mutants.py [--count 300] [--seed 0] [--first 0] [--out benchmarks/results/mutants.json]

A mutant has one changed operator, comparison, number, condition or name, or lacks one statement. Messages of errors,
docstrings and annotations are left alone. The tests of the mutated module run in a forked process until one fails;
a mutant whose tests pass survives. `--first` goes on where an earlier run ended, and joins what it found.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PACKAGES = ("weighting", "metrics")
# Processor seconds of a mutant's tests; more is an endless loop, which counts as killed.
SECONDS = 300
_WEIGHTING = ("test_weighting", "test_uncertainty", "test_new_users", "test_task_state", "test_likelihoods")
_METHODS = ("test_methods", "test_weighting", "test_task_state", "test_faults_of_others")
# The tests of each module, those of its own first; `_METHODS` of all that are not named.
TESTS: dict[str, Sequence[str]] = {
    "weighting/uncertainty": ("test_uncertainty", *_WEIGHTING),
    "weighting/likelihoods": ("test_likelihoods", "test_uncertainty", "test_new_users"),
    "weighting/gradient_aggregation": ("test_gradient_aggregation",),
    "weighting/shared_gradients": ("test_gradient_aggregation", "test_methods"),
    **dict.fromkeys(("weighting/base", "weighting/losses", "weighting/checks"), (*_WEIGHTING, "test_methods")),
    **dict.fromkeys(("weighting/task_state", "weighting/constants"), ("test_task_state", *_WEIGHTING, "test_methods")),
    "metrics/segmentation": ("test_segmentation_metric",),
    "metrics/instance": ("test_instance_metric", "test_compiled"),
    "metrics/panoptic": ("test_panoptic_metric",),
    "metrics/depth": ("test_depth_metric",),
    "metrics/regression": ("test_regression_metric", "test_calibration"),
    "metrics/calibration": ("test_calibration",),
    "metrics/evaluation": ("test_evaluation",),
    "metrics/base": ("test_evaluation", "test_segmentation_metric", "test_regression_metric"),
    "metrics/counting": ("test_compiled", "test_segmentation_metric", "test_panoptic_metric", "test_instance_metric"),
}
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


def survives(mutant: Mutant) -> bool:
    """Run the tests of a mutant in a forked process; return whether all pass."""
    package, name = mutant.module.split("/")
    tests = list(dict.fromkeys(TESTS.get(mutant.module, _METHODS)))
    paths = [f"tests/{package}/{test}.py" for test in tests]
    source = ROOT / "src" / "multisigma" / f"{mutant.module}.py"
    if ">>> " in source.read_text(encoding="utf-8"):
        paths.append(f"tests/test_docstrings.py::test_examples[multisigma.{package}.{name}]")
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            with tempfile.TemporaryDirectory() as folder:
                if mutant.compiled:
                    # The cache does not see changed constants.
                    os.environ["NUMBA_CACHE_DIR"] = folder
                sys.meta_path.insert(0, _Finder(mutant, source))
                import pytest

                options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
                code = int(pytest.main([*options, "-k", "not type_checker and not numpy and not torch_alone", *paths]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def main() -> None:
    """Test the mutants, and write what survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    found = [
        mutant
        for package in PACKAGES
        for path in sorted((ROOT / "src" / "multisigma" / package).glob("*.py"))
        if path.name != "__init__.py"
        for mutant in mutants_of(path)
    ]
    random.Random(arguments.seed).shuffle(found)
    # Loaded once: each forked process has it. The package itself must not be loaded.
    for name in ("pytest", "hypothesis.strategies", "scipy.stats", "numba", "cv2", "torch", "torchjd.scalarization"):
        importlib.import_module(name)
    before = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.first else {"survivors": []}
    survivors = before["survivors"]
    for number, mutant in enumerate(found[arguments.first : arguments.count], arguments.first + 1):
        alive = survives(mutant)
        if alive:
            survivors.append(
                {"module": mutant.module, "line": mutant.line, "before": mutant.before, "after": mutant.after}
            )
        print(f"{number} {'SURVIVES' if alive else 'killed'} {mutant.module}:{mutant.line} {mutant.before!r} -> "
              f"{mutant.after!r}", flush=True)  # fmt: skip
        result = {
            "mutants there are": len(found),
            "seed": arguments.seed,
            "tested": number,
            "killed": number - len(survivors),
            "share killed": round(1 - len(survivors) / number, 4),
            "survivors": survivors,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
