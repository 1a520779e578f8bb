"""The compiled functions against the same functions interpreted by Python."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import sys
import numpy as np
from multisigma.instances import VoteSettings, dbscan_cut, instances_from_votes, optics, tree_clusters, xi_clusters

rng = np.random.default_rng(0)
points = np.concatenate((rng.normal(0, 1, (90, 2)), rng.normal(9, 2, (90, 2)), rng.integers(0, 9, (60, 2))))
points = np.concatenate((points, points[:20]))
results = {}
for number, (min_samples, max_eps, weights) in enumerate(
    [(2, np.inf, None), (6, 3.1, None), (40, np.inf, rng.integers(1, 5, len(points)))]
):
    order = optics(points, min_samples, max_eps, weights)
    results |= {f"{number} {name}": getattr(order, name) for name in order.__slots__}
    results[f"{number} cut"] = dbscan_cut(order, 1.0)
    results[f"{number} xi"], results[f"{number} areas"] = xi_clusters(order, min_samples, 0.1)
    results[f"{number} tree"] = tree_clusters(order, points, np.ones(len(points)), weights, min_weight=20)
y, x = np.mgrid[:24, :40]
semantic = np.where(x < 30, 26, 0)
vectors = np.stack((np.where(x < 16, 8, 22) - x, 12 - y)) + rng.normal(0, 0.6, (2, 24, 40))
for grid in (0, 1):
    chosen = VoteSettings(grid=grid, min_samples=20)
    found = instances_from_votes(vectors, semantic, (24, 26), np.full(semantic.shape, 0.5), chosen)
    results |= {f"grid {grid} {name}": getattr(found, name) for name in found.__slots__}
np.savez(sys.argv[1], **results)
"""


def test_compiled_and_interpreted_results_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Coverage of the interpreted functions would tell nothing of the compiled ones, and takes as long again.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["NUMBA_DISABLE_JIT"] = "1"
    paths = tmp_path / "compiled.npz", tmp_path / "interpreted.npz"
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, paths[1]], check=True, env=environment)
    monkeypatch.setattr(sys, "argv", ["", str(paths[0])])
    exec(SCRIPT, {})
    compiled, interpreted = (dict(np.load(path)) for path in paths)
    assert compiled.keys() == interpreted.keys()
    for name in compiled:
        np.testing.assert_array_equal(compiled[name], interpreted[name], err_msg=name)
    assert compiled["grid 1 pixels"].tolist() == [384, 336]
