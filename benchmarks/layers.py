"""The layers of the package: a picture of which imports which, and each one's lines of code.

python benchmarks/layers.py docs/layers.png > benchmarks/results/layers.json
python benchmarks/layers.py docs/layers.png --before REVISION > benchmarks/results/layers.json

An arrow goes from a layer to one that it imports; its width grows with the number of files that do. Imports inside
functions count, and those for the type checker. Small modules that any layer may import have no arrows.
Lines of code are those with a token that is neither a comment nor a docstring.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from tests.test_layers import imported_modules, layer_of  # noqa: E402

COMMON = ("errors", "files", "progress", "class_paths")
"""Modules that any layer may import."""


def lines_of_code(path: Path) -> int:
    """Return the number of lines with code: no blank lines, comments or docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    strings = [n.body[0] for n in documented if ast.get_docstring(n) is not None]
    strings += [n for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)]
    docstrings = {line for node in strings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    with path.open("rb") as file:
        found = [t for t in tokenize.tokenize(file.readline) if t.type not in silent and t.type != tokenize.ENCODING]
    return len({line for t in found for line in range(t.start[0], t.end[0] + 1)} - docstrings)


def measure(source: Path) -> tuple[dict[str, int], Counter[tuple[str, str]]]:
    """Return the lines of code of each layer, and how many files of a layer import another."""
    lines: Counter[str] = Counter()
    arrows: Counter[tuple[str, str]] = Counter()
    for path in sorted(source.rglob("*.py")):
        layer = path.relative_to(source).parts[0].removesuffix(".py")
        lines[layer] += lines_of_code(path)
        if not layer.startswith("_"):
            imported = {layer_of(module) for module in imported_modules(path)} - {layer}
            arrows.update((layer, other) for other in imported if other)
    return dict(lines), arrows


def order(arrows: Counter[tuple[str, str]], layers: list[str]) -> list[str]:
    """Return the layers so that each comes after all that it imports.

    Raises:
        ValueError: Layers import each other in a circle.
    """
    left, sorted_layers = set(layers), []
    while left:
        free = sorted(layer for layer in left if not any((layer, other) in arrows for other in left))
        if not free:
            raise ValueError(f"Layers must not import each other in a circle. Found one among {sorted(left)}.")
        sorted_layers += free
        left -= set(free)
    return sorted_layers


def draw(arrows: Counter[tuple[str, str]], lines: dict[str, int], path: Path) -> None:
    """Draw the layers from top to bottom, each below all that it imports."""
    layers = order(arrows, [layer for layer in lines if not layer.startswith("_") and layer not in COMMON])
    place = {layer: len(layers) - i for i, layer in enumerate(layers)}
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(layers) + 0.4))
    for layer, y in place.items():
        axes.text(0, y, f"{layer}  ({lines[layer]:,})", ha="center", va="center", bbox={"boxstyle": "round", "fc": "w"})
    for (start, end), files in arrows.items():
        if end in COMMON or start in COMMON:
            continue
        reach = place[end] - place[start]
        side = 1 if reach % 2 else -1
        axes.add_patch(
            FancyArrowPatch(
                (side * 0.9, place[start]),
                (side * 0.9, place[end]),
                connectionstyle=f"arc3,rad={side * 0.35}",
                arrowstyle="-|>",
                mutation_scale=9,
                linewidth=0.6 + 0.25 * files,
                color=plt.get_cmap("tab20")(layers.index(start) % 20),
            )
        )
    axes.set(xlim=(-4, 4), ylim=(0.3, len(layers) + 0.7))
    axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight")


def source_at(revision: str, folder: Path) -> Path:
    """Unpack the package's source at a revision into a folder, and return where it is."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", revision, "src"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src" / "multisigma"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--before", help="a revision to compare the lines with")
    options = parser.parse_args()
    lines, arrows = measure(ROOT / "src" / "multisigma")
    draw(arrows, lines, options.picture)
    result = {"lines": lines | {"all": sum(lines.values())}}
    if options.before:
        with tempfile.TemporaryDirectory() as folder:
            before, _ = measure(source_at(options.before, Path(folder)))
        result |= {"before": options.before, "lines_before": before | {"all": sum(before.values())}}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
