"""Check the weighting library where torch alone is installed: `python tests/bare.py`, without pytest.

It imports every public name, runs the examples in the docstrings of `multisigma.weighting`, and runs two examples.
"""

import contextlib
import doctest
import importlib
import importlib.util
import pkgutil
import runpy
import sys
from pathlib import Path

import multisigma
import multisigma.weighting

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    # What torch itself brings may be there; numpy is not a dependency of torch.
    present = [name for name in ("numpy", "torchvision", "lightning", "torchjd") if importlib.util.find_spec(name)]
    assert not present, f"torch must be alone. Found {', '.join(present)}."
    for name in multisigma.__all__:
        if name != "SceneModel":
            getattr(multisigma, name)
    with contextlib.suppress(ImportError):
        raise AssertionError(f"{multisigma.SceneModel} must ask for the extra.")
    ran = 0
    for module in pkgutil.iter_modules(multisigma.weighting.__path__, "multisigma.weighting."):
        # Its methods need TorchJD.
        if module.name != "multisigma.weighting.gradient_aggregation":
            result = doctest.testmod(importlib.import_module(module.name))
            assert not result.failed, module.name
            ran += result.attempted
    sys.argv = ["plain_loop.py"]
    runpy.run_path(str(EXAMPLES / "plain_loop.py"), run_name="__main__")
    sys.argv = ["toy_two_regressions.py"]
    runpy.run_path(str(EXAMPLES / "toy_two_regressions.py"), run_name="__main__")
    print(f"{len(multisigma.__all__) - 1} names, {ran} lines of examples and 2 programs ran with torch alone.")


if __name__ == "__main__":
    main()
