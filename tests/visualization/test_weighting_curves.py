"""Noise and weights over training: what is recorded, written and drawn, in a plain loop and under Lightning."""

import csv
from pathlib import Path

import cv2
import lightning
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from multisigma import EqualWeighting, Gaussian, Laplace, MultisigmaError, UncertaintyWeighting
from multisigma.training.weighting_recorder import WeightingRecorder
from multisigma.visualization.curves import PALETTE
from multisigma.visualization.weighting_curves import plot_weighting, write_weighting


def history_of(weighting: UncertaintyWeighting, losses: dict[str, Tensor], steps: int) -> list[dict[str, float]]:
    optimizer = torch.optim.SGD(weighting.param_groups(), lr=0.2)
    rows = [{"step": 0} | weighting.log()]
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        weighting(losses).backward()
        optimizer.step()
        rows.append({"step": step} | weighting.log())
    return rows


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for found in figure.legends for text in found.get_texts()]


def test_curves_run_from_the_initial_value_to_the_closed_form() -> None:
    weighting = UncertaintyWeighting({"a": Gaussian(), "b": Laplace()}, {"a": 2.0, "b": -1.0})
    history = history_of(weighting, {"a": torch.tensor(4.0), "b": torch.tensor(0.5)}, 200)
    assert list(history[0]) == ["step", "weight/a", "weight/b", "noise/a", "noise/b", "sigma/a", "sigma/b"]
    figure = plot_weighting(history)
    sigma, noise, weights = figure.axes
    assert [axes.get_title(loc="left") for axes in (sigma, noise, weights)] == [
        "noise scale \N{GREEK SMALL LETTER SIGMA}",
        "noise as the paper plots it, 1 / weight",
        "weight",
    ]
    assert legend(figure) == ["a", "b"]
    assert [line.get_color() for line in sigma.lines] == [*PALETTE[:2]]
    first, last = ([line.get_ydata()[i] for axes in (sigma, noise, weights) for line in axes.lines] for i in (0, -1))
    e = torch.tensor(1.0).exp().item()
    assert first == pytest.approx([e, e**-0.5, 2 * e**2, e**-0.5, 0.5 * e**-2, e**0.5], rel=1e-5)
    assert last == pytest.approx([2, 0.5, 8, 0.5, 0.125, 2], rel=1e-3)


def test_a_weighting_without_sigma_has_two_panels() -> None:
    figure = plot_weighting([{"step": step} | EqualWeighting(["a", "b"]).log() for step in range(3)])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["noise as the paper plots it, 1 / weight", "weight"]


def test_a_hundred_tasks_are_drawn_without_a_legend() -> None:
    weighting = UncertaintyWeighting({f"t{i}": Gaussian() for i in range(100)})
    figure = plot_weighting([{"step": step} | weighting.log() for step in range(2)])
    assert [len(axes.lines) for axes in figure.axes] == [100, 100, 100]
    assert legend(figure) == []


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([], "sigma/TASK, noise/TASK or weight/TASK. Found none"),
        ([{"step": 1.0, "loss/a": 2.0}], "Found loss/a"),
        ([{"step": 1.0, "sigma/a": 2.0}, {"sigma/a": 2.0}], "Row 1 .* `step`. Found sigma/a"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_named(history: list[dict[str, float]], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        plot_weighting(history)


def test_files_are_written_whole(tmp_path: Path) -> None:
    rows = history_of(UncertaintyWeighting({"a": Gaussian()}), {"a": torch.tensor(4.0)}, 5)
    write_weighting(rows, tmp_path / "new" / "folder")
    with (tmp_path / "new" / "folder" / "weighting.csv").open(newline="") as file:
        assert [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)] == rows
    picture = cv2.imread(str(tmp_path / "new" / "folder" / "weighting.png"))
    assert picture.shape[1] == 720
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["weighting.csv", "weighting.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(MultisigmaError, match=r"file.*cannot be written"):
        write_weighting(rows, tmp_path / "file")


class Line(lightning.LightningModule):
    """A line through points with noise 2."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.weighting = UncertaintyWeighting({"line": Gaussian()})
        self.fails_at = fails_at

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.global_step == self.fails_at:
            raise RuntimeError("the disk is full")
        x, y = batch
        return self.weighting({"line": (self.line(x) - y).square().mean()})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([*self.weighting.param_groups(), {"params": self.line.parameters()}], lr=0.05)


def fit(
    module: lightning.LightningModule,
    recorder: WeightingRecorder,
    steps: int,
    checkpoint: Path | None = None,
    accumulate: int = 1,
):  # type: ignore[no-untyped-def]
    x = torch.linspace(-1, 1, 32).unsqueeze(1)
    y = 3 * x + 2 * torch.randn(32, 1, generator=torch.Generator().manual_seed(0))
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        callbacks=[recorder],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulate,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=32), ckpt_path=checkpoint)
    return trainer


def steps_of(recorder: WeightingRecorder) -> list[float]:
    return [row["step"] for row in recorder.history]


def test_recorder_records_and_writes(tmp_path: Path) -> None:
    recorder, module = WeightingRecorder(tmp_path / "weighting", every=4), Line()
    fit(module, recorder, 10, accumulate=2)
    assert steps_of(recorder) == [0, 4, 8, 10]
    assert recorder.history[0]["sigma/line"] == 1
    assert recorder.history[-1] == {"step": 10} | module.weighting.log()
    assert (tmp_path / "weighting" / "weighting.csv").read_text().count("\n") == 5
    assert (tmp_path / "weighting" / "weighting.png").is_file()


def test_a_resumed_recorder_goes_on(tmp_path: Path) -> None:
    whole = WeightingRecorder(tmp_path / "whole", every=3)
    torch.manual_seed(0)
    fit(Line(), whole, 12)
    torch.manual_seed(0)
    fit(Line(), WeightingRecorder(tmp_path / "part", every=3), 8).save_checkpoint(tmp_path / "half.ckpt")
    resumed = WeightingRecorder(tmp_path / "part", every=3)
    fit(Line(), resumed, 12, tmp_path / "half.ckpt")
    assert steps_of(whole) == [0, 3, 6, 9, 12]
    assert steps_of(resumed) == [0, 3, 6, 8, 9, 12]  # 8, where the first part ended
    assert [row for row in resumed.history if row["step"] != 8] == whole.history


def test_a_second_training_starts_a_new_record(tmp_path: Path) -> None:
    recorder = WeightingRecorder(tmp_path, every=2)
    fit(Line(), recorder, 6)
    fit(Line(), recorder, 2)
    assert steps_of(recorder) == [0, 2]


def test_a_training_that_fails_leaves_its_record(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="disk"):
        fit(Line(fails_at=5), WeightingRecorder(tmp_path, every=2), 10)
    assert [line.split(",")[0] for line in (tmp_path / "weighting.csv").read_text().split()] == ["step", "0", "2", "4"]


def test_recorder_says_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match="`every` must be at least 1; found 0"):
        WeightingRecorder(tmp_path, every=0)
    with pytest.raises(MultisigmaError, match=r"BoringModel must hold one weighting.*found none"):
        fit(BoringModel(), WeightingRecorder(tmp_path), 1)
    module = Line()
    module.other = EqualWeighting(["line"])
    with pytest.raises(MultisigmaError, match="found weighting, other"):
        fit(module, WeightingRecorder(tmp_path), 1)
