"""A task, a weighting and a data set of a user's own, each one file outside the package, the whole way."""

import sys
from pathlib import Path

import numpy as np
import pytest

from multisigma import SceneModel
from multisigma.cli import main
from multisigma.datasets.images import write_png
from multisigma.visualization.curves import read_log
from tests.evaluations import numbers_in

DATA = """
import numpy as np
from multisigma.datasets import ClassMap, Frame, Image, Label, LabelSpace, SceneDataset

class Squares(SceneDataset):
    labels = LabelSpace("squares", (
        Label("ground", 0, 0, "all", 0, False, False, (90, 90, 90)),
        Label("square", 1, 1, "all", 0, False, False, (200, 40, 40)),
    ))

    def __init__(self, split):
        self.seeds = range(4) if split == "train" else range(4, 6)

    def __len__(self):
        return len(self.seeds)

    def read(self, i, only=None):
        rng = np.random.default_rng(self.seeds[i])
        ids = np.zeros((48, 64), np.uint8)
        y, x = rng.integers(0, 24, 2)
        ids[y : y + 20, x : x + 20] = 1
        pixels = (60 + 120 * ids[..., None] + rng.integers(0, 20, (48, 64, 3))).astype(np.uint8)
        return Frame(f"squares {i}", {"image": Image(pixels), "semantic": ClassMap(ids, 255)}, labels=self.labels)
"""

TASK = """
import torch
from multisigma.tasks import RegressionTask
from multisigma.tasks.baselines import RowMean
from multisigma.visualization.picture import Picture

class Colour(RegressionTask):
    name, dimension, fields = "colour", 3, ("image",)

    def __init__(self, scale: float = 255.0) -> None:
        self.scale = scale

    def target(self, frame):
        return torch.from_numpy(frame.image.transpose(2, 0, 1) / self.scale).float()

    def baseline(self):
        return RowMean(in_pixels=False)

    def visualize(self, frame, scene):
        pixels = (scene["colour"].values * self.scale).clip(0, 255).astype("uint8")
        return [Picture("Colour", pixels.transpose(1, 2, 0), frame.image)]
"""

WEIGHTING = """
from multisigma import Weighting

class Halving(Weighting):
    def __init__(self, tasks, start: float = 1.0) -> None:
        super().__init__(tasks)
        self.start = start

    @property
    def weights(self):
        return {name: self.start / 2**i for i, name in enumerate(self.tasks)}

    def combine(self, batch):
        return batch.sum(batch.mean * batch.mean.new_tensor(list(self.weights.values())))
"""


def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in (("own_data", DATA), ("own_task", TASK), ("own_weighting", WEIGHTING)):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    run = tmp_path / "run"
    command = ["train", "--preset", "tiny", "--data", "own_data.Squares", "--out", str(run)]
    command += ["--tasks", "semantic,own_task.Colour", "--task.colour.scale", "100"]
    command += ["--weighting", "own_weighting.Halving", "--weighting.start", "0.5"]
    command += ["--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8"]
    command += ["--decoder-channels", "8", "--batch-size", "2", "--crop", "48x64", "--workers", "0"]
    command += ["--accelerator", "cpu", "--log-every", "1", "--checkpoint-every", "2"]
    assert main([*command, "--iterations", "4"]) == 0
    log = read_log(run)
    assert set(log["weight/semantic"][1]) == {0.5}
    assert set(log["weight/colour"][1]) == {0.25}
    assert np.isfinite(log["loss/colour"][1]).all()

    assert main(["evaluate", str(run), "--data", "own_data.Squares"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--data", "own_data.Squares", "--trust-code"]) == 0
    found = numbers_in(run)
    assert 0 <= found["iou_class"] <= 100
    assert found["colour_error"] > 0
    assert main(["report", str(run)]) == 0
    assert "Colour" in (run / "report.html").read_text(encoding="utf-8")

    write_png(tmp_path / "picture.png", np.full((30, 50, 3), 90, np.uint8))
    predict = ["predict", str(tmp_path / "picture.png"), "--model", str(run), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    assert main(predict) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main([*predict, "--trust-code"]) == 0
    assert np.load(tmp_path / "out" / "arrays" / "picture_colour_values.npy").shape == (3, 30, 50)
    model = SceneModel.load(run, "cpu", trust_code=True)
    assert model.tasks[1].scale == 100  # type: ignore[attr-defined]
    assert set(np.unique(model.predict(tmp_path / "picture.png")["semantic"].ids)) <= {0, 1}
