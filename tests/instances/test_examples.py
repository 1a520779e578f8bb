"""The examples in the docstrings run and give the results that they show."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["extraction", "optics", "votes"])
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(import_module(f"multisigma.instances.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
