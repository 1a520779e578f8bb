"""Compile what numba compiles, once, before several processes of the tests each do: `python tests/compile.py`."""

import doctest
import importlib
import tempfile
from pathlib import Path

from multisigma.synthetic import generate

if __name__ == "__main__":
    for module in ("optics", "extraction", "votes"):
        # By name, because the package has a function `optics` too.
        doctest.testmod(importlib.import_module(f"multisigma.instances.{module}"))
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "streets", 1, 1, 64, 128, seed=0, processes=1)
