"""The house's arrows point down: a room imports only from rooms below it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "multisigma"
FLOORS = [
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


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "multisigma" and len(parts) > 1 else None


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.append(node.module)
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    above = [m for m in modules if (other := room_of(m)) and FLOORS.index(other) > FLOORS.index(room)]
    assert not above, f"{path.name} is in {room} and imports {above}"
    if room == "weighting":
        assert not [m for m in modules if m.split(".")[0] in {"lightning", "numpy", "cv2", "timm"}]
    if room == "instances":
        assert "torch" not in modules
