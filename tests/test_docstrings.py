"""The examples in the docstrings run and give the results that they show."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import multisigma

PACKAGE = Path(multisigma.__file__).parent


def modules_with_examples() -> list[str]:
    """Return the names of the package's modules that have an example."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
