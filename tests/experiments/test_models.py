"""Finished models beside the paper's, and what is measured of depth and of errors in place."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from multisigma.cli import main
from multisigma.datasets.fields import Disparity
from multisigma.datasets.open import open_dataset
from multisigma.datasets.scene import Scene
from multisigma.experiments.figure5 import ErrorsInPlace, Roughness
from multisigma.experiments.study import Study
from multisigma.synthetic import generate
from multisigma.training.train import train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 2, 3, 64, 128, seed=0, processes=1, samples_page=False)
    return path


def test_tables_and_pictures_of_a_run(root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(Study(tmp_path, "smoke", 1, str(root)).config(), run)
    out = tmp_path / "out"
    shutil.rmtree(root / "leftImg8bit" / "train")  # To measure, a validation split is enough.
    options = ["--data", str(root), "--out", str(out), "--models", str(run)]
    for name in ("table2", "figure4", "figure9"):
        out.mkdir(exist_ok=True)
        assert main(["experiment", name, *options]) == 0
    table = (out / "table2.md").read_text()
    assert "| the paper, Cityscapes test | 78.5 |" in table
    assert f"| {run} | " in table
    page = (out / "figure9.md").read_text()
    frames = [line.split(":")[1].split("|")[0].strip() for line in page.splitlines() if line.startswith("| worst")]
    assert len(frames) == 2
    assert (out / "figure9-frames-0.png").is_file()
    assert "| in several parts | " in (out / "figure4.md").read_text()
    # The second page took the evaluation of the first, and without data it is made from that alone.
    assert main(["experiment", "figure9", "--out", str(out), "--models", str(run)]) == 0
    assert (out / "figure9.md").read_text().count("| worst") == 2


def test_roughness_is_of_surfaces_alone(root: Path) -> None:
    frame = open_dataset(str(root), "val").read(0)
    true = np.full((4, 6), 10.0, np.float32)
    true[:, 3:] = 20.0
    frame = replace(frame, fields={"disparity": Disparity(true)})
    metric = Roughness()

    def roughness(predicted: Any) -> float:
        counts = metric.count(cast(Scene, {"depth": SimpleNamespace(disparity=predicted)}), frame)
        # Steps over the edge between the surfaces do not count: 3 x 6 downwards, 4 x 4 to the right.
        assert counts["pairs"] == 18 + 16
        return metric.summarise([counts])[0].value

    assert roughness(true) == 0
    assert roughness(true + 5) == 0
    checkers = np.indices(true.shape).sum(0) % 2
    assert roughness(true + checkers) == pytest.approx(1.0)
    assert roughness(np.full_like(true, 15.0)) == 0


def test_errors_in_place_are_numpys_correlation(root: Path) -> None:
    data = open_dataset(str(root), "val")
    rng = np.random.default_rng(0)
    metric = ErrorsInPlace()
    counts, errors = [], []
    for i in range(len(data)):
        frame = data.read(i)
        wrong = rng.random(frame.size) < 0.3
        classes = cast(Any, frame.fields["semantic"]).ids
        disparity = np.nan_to_num(cast(Any, frame.fields["disparity"]).values)
        disparity = np.where(classes == frame.labels.sky, 0, disparity)
        scene = {
            "semantic": SimpleNamespace(ids=np.where(wrong, 0, classes)),
            "instance": SimpleNamespace(values=np.zeros((2, *frame.size))),
            "depth": SimpleNamespace(disparity=disparity + wrong * 0.5 + rng.random(frame.size)),
        }
        counts.append(metric.count(cast(Scene, scene), frame))
        known = np.isin(classes, frame.labels.ids_of_train_ids)
        known &= (classes == frame.labels.sky) | np.isfinite(cast(Any, frame.fields["disparity"]).values)
        errors.append(np.stack([wrong[known], np.log1p(np.abs(scene["depth"].disparity - disparity))[known]]))
    found = {m.key: m.value for m in metric.summarise(counts)}
    expected = np.corrcoef(np.concatenate(errors, 1))[0, 1]
    assert found["error_correlation_semantic_depth"] == pytest.approx(expected)
    assert expected > 0.3
    assert metric.count(cast(Scene, {"depth": None}), frame) == {}
