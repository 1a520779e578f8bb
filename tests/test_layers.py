"""A layer imports only from the layers above it in the list."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "multisigma"
LAYERS = [
    "errors",
    "signals",
    "files",
    "claims",
    "progress",
    "class_paths",
    "weighting",
    "instances",
    "datasets",
    "tracking",
    "synthetic",
    "metrics",
    "visualization",
    "tasks",
    "models",
    "training",
    "reports",
    "experiments",
    "serving",
    "cli",
]


def layer_of(module: str) -> str | None:
    """Return the layer of a module such as 'multisigma.tasks.depth'; None for another package or `__init__`."""
    package, _, rest = module.partition(".")
    layer = rest.partition(".")[0]
    return layer if package == "multisigma" and layer and not layer.startswith("_") else None


def imported_modules(path: Path, inside_functions: bool = True) -> set[str]:
    """Return the modules that a file imports. Of `from a import b` both `a` and `a.b`, as `b` may be a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if layer in ("__init__", "__main__"):
        return
    modules = imported_modules(path)
    below = LAYERS[LAYERS.index(layer) + 1 :]
    assert not [module for module in modules if layer_of(module) in below], f"{path.name} imports a layer below {layer}"
    packages = {module.partition(".")[0] for module in modules}
    if layer == "weighting":
        assert not packages & {"lightning", "numpy", "cv2", "timm"}
    if layer in ("instances", "tracking"):
        assert "torch" not in packages


def test_tasks_and_postprocessing_import_no_torch_before_they_train() -> None:
    code = """
import sys
sys.modules["torch"] = None  # an import raises
from multisigma import OnnxSceneModel, postprocess
from multisigma.tasks import BUILT_IN, load_tasks
load_tasks(list(BUILT_IN))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_import_each_other_in_no_circle() -> None:
    paths = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    names = {path: ".".join(("multisigma", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths}
    graph = {name: imported_modules(path, inside_functions=False) & set(names.values()) for path, name in names.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()
