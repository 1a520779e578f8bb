"""A layer imports only from the layers above it in the list."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "multisigma"
LAYERS = [
    "errors",
    "files",
    "progress",
    "class_paths",
    "weighting",
    "instances",
    "datasets",
    "synthetic",
    "metrics",
    "visualization",
    "tasks",
    "models",
    "training",
    "reports",
    "experiments",
    "cli",
]


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "multisigma" and len(parts) > 1 else None


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if layer in ("__init__", "__main__"):
        return
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.append(node.module)
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    above = [m for m in modules if (other := layer_of(m)) and LAYERS.index(other) > LAYERS.index(layer)]
    assert not above, f"{path.name} is in {layer} and imports {above}"
    if layer == "weighting":
        assert not [m for m in modules if m.split(".")[0] in {"lightning", "numpy", "cv2", "timm"}]
    if layer == "instances":
        assert "torch" not in modules


def imported_at_once(path: Path) -> set[str]:
    """The modules that a file imports when it is itself imported: not those inside functions."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_modules_import_each_other_in_no_circle() -> None:
    paths = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    names = {path: ".".join(("multisigma", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths}
    graph = {name: imported_at_once(path) & set(names.values()) for path, name in names.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()
