"""Logs over several starts, and the figures made of them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multisigma.errors import MultisigmaError
from multisigma.visualization.curves import curve_figure, figure_svg, read_log, reliability_figure

RunMaker = Callable[[Path], Path]


def write_csv(run: Path, first: int, text: str) -> None:
    folder = run / "logs" / "csv" / str(first)
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text)


def test_a_later_start_stands_for_the_rows_from_its_first_iteration_on(tmp_path: Path) -> None:
    # Named so that sorting by text would take 1000 before 200.
    write_csv(tmp_path, 0, "step,epoch,loss/a,val/loss/a\n0,0,9,\n100,0,8,\n200,1,7,\n200,1,,70\n300,1,6,\n")
    write_csv(tmp_path, 1000, "step,epoch,loss/a\n1000,4,1\n")
    write_csv(tmp_path, 200, "step,epoch,loss/a,sigma/a\n200,1,5,0.5\n1000,4,4,0.4\n1100,4,3,\n")
    log = read_log(tmp_path)

    assert list(log) == ["loss/a", "sigma/a"]  # the validation of step 200 was trained anew and not yet validated
    assert log["loss/a"][0].tolist() == [0, 100, 200, 1000]
    assert log["loss/a"][1].tolist() == [9, 8, 5, 1]
    assert log["sigma/a"][1].tolist() == [0.5]


def test_rows_of_one_step_are_joined(tmp_path: Path) -> None:
    write_csv(tmp_path, 0, "step,epoch,loss/a,val/loss/a\n5,0,2,\n5,0,,3\n")
    assert {name: values.tolist() for name, (_, values) in read_log(tmp_path).items()} == {
        "loss/a": [2.0],
        "val/loss/a": [3.0],
    }


@pytest.mark.parametrize("text", ["", "step,epoch,loss/a\n"])
def test_an_empty_log_is_empty(tmp_path: Path, text: str) -> None:
    assert read_log(tmp_path) == {}
    write_csv(tmp_path, 0, text)
    assert read_log(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("iteration,loss/a\n1,2\n", "column `step`. Found iteration, loss/a"),
        ("step,loss/a\n1,2\n2,oops\n", "line 3.*'oops' in column `loss/a` at step '2'"),
        ("step,loss/a\n,2\n", "line 2.*step ''"),
        ("step,loss/a\n1,2,3\n", "line 2"),
    ],
)
def test_a_damaged_log_is_named(tmp_path: Path, text: str, found: str) -> None:
    write_csv(tmp_path, 0, text)
    with pytest.raises(MultisigmaError, match=found):
        read_log(tmp_path)


def test_figures_have_a_panel_each_and_take_the_colour_of_the_page() -> None:
    steps = np.arange(3000)
    log = {
        "loss/a": (steps, np.exp(-steps / 300) + 0.01),
        "val/loss/a": (steps[::1000], np.ones(3)),
        "sigma/a": (steps, np.linspace(2, 1, 3000)),
    }
    figure = curve_figure(log, {"loss": ["loss/a", "val/loss/a"], "noise": ["sigma/a"]}, {"a": "#abcdef"})
    loss, noise = figure.axes
    assert loss.get_yscale() == "log"
    assert noise.get_yscale() == "linear"
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    # Thousands of points are drawn as hundreds, from the first share's end to the last iteration.
    x, y = np.asarray(noise.lines[0].get_data())
    assert len(x) <= 400
    assert x[-1] == 2999
    assert y[0] == pytest.approx(2, abs=0.01)
    assert y[-1] == pytest.approx(1, abs=0.01)

    svg = figure_svg(figure, "a")
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "#abcdef" in svg
    assert not re.search(r'(?:href|src)="(?!#)', svg)
    assert svg == figure_svg(
        curve_figure(log, {"loss": ["loss/a", "val/loss/a"], "noise": ["sigma/a"]}, {"a": "#abcdef"}), "a"
    )


def test_values_that_are_not_finite_do_not_break_a_figure() -> None:
    log = {
        "loss/a": (np.arange(4), np.array([np.nan, np.inf, 1.0, 0.5])),
        "sigma/a": (np.arange(1), np.array([np.nan])),
    }
    assert "<svg" in figure_svg(curve_figure(log, {"loss": ["loss/a"], "noise": ["sigma/a"]}, {}), "x")


def test_a_reliability_diagram_leaves_empty_bins_out() -> None:
    diagram = {
        "as given": {
            "probability": [None, 0.4, 0.9],
            "accuracy": [None, 0.5, 0.8],
            "share": [0, 0.25, 0.75],
        },
        "with σ²": {
            "probability": [0.2, 0.5, None],
            "accuracy": [0.2, 0.5, None],
            "share": [0.5, 0.5, 0],
        },
    }
    axes = reliability_figure(diagram).axes[0]
    diagonal, plain, scaled = axes.lines
    assert np.asarray(diagonal.get_xydata()).tolist() == [[0, 0], [1, 1]]
    assert np.asarray(plain.get_xydata()).tolist() == [[0.4, 0.5], [0.9, 0.8]]
    assert np.asarray(scaled.get_xydata()).tolist() == [[0.2, 0.2], [0.5, 0.5]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["as given", "with σ²"]
