"""The wheel: what a user installs has everything that the checkout has, the shipped model among it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.test_scene_model import random_model

ROOT = Path(__file__).parents[1]
LARGEST = 12_000_000
"""Bytes that the weights may take."""


@pytest.mark.slow
def test_an_installed_wheel_predicts_with_the_model_in_it(tmp_path: Path) -> None:
    """Needs uv, and the build's own packages from the index or uv's cache."""
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    weights = source / "src" / "multisigma" / "weights"
    if not weights.exists():
        random_model().save(weights, half=True)
    subprocess.run([sys.executable, "-m", "uv", "build", "--wheel", "--out-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    files = {path.relative_to(source / "src").as_posix() for path in (source / "src").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as content:
        assert files == {name for name in content.namelist() if ".dist-info/" not in name}
        content.extractall(site)
    work.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)).save(work / "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-m", "multisigma", "predict", "photo.jpg", "--device", "cpu"],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"see {site / 'multisigma' / 'weights' / 'MODEL_CARD.md'}" in done.stderr
    assert (work / "predictions" / "pictures").is_dir()


def test_the_weights_are_small_enough_and_described() -> None:
    weights = ROOT / "src" / "multisigma" / "weights"
    if not weights.exists():
        pytest.skip("the checkout has no weights")
    assert {"model.json", "model.safetensors", "MODEL_CARD.md"} <= {path.name for path in weights.iterdir()}
    assert sum(path.stat().st_size for path in weights.iterdir()) < LARGEST
