"""The diagnosis of losses and gradients, on tasks whose gradients are known."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multisigma.cli import main
from multisigma.errors import MultisigmaError
from multisigma.experiments.diagnose import Diagnosis, diagnose
from multisigma.synthetic import generate

DIRECTION = torch.tensor([3.0, 4.0])


def linear(scales: Mapping[str, float], shared: Tensor) -> Callable[[float], dict[str, Tensor]]:
    """Losses whose gradients are the direction times a scale each, and whose values are 10 times the scale's size."""
    return lambda batch: {
        name: scale * (shared @ DIRECTION - (shared @ DIRECTION).detach()) + 10 * abs(scale) * batch
        for name, scale in scales.items()
    }


def found(scales: Mapping[str, float], batches: list[float]) -> Diagnosis:
    shared = torch.nn.Parameter(torch.zeros(2))
    return diagnose(linear(scales, shared), [shared], batches)


def test_numbers() -> None:
    measured = found({"a": 1.0, "b": 4.0, "c": -1.0}, [1.0, 3.0])
    assert measured.norms == pytest.approx({"a": 5.0, "b": 20.0, "c": 5.0})
    assert measured.losses == pytest.approx({"a": 20.0, "b": 80.0, "c": 20.0})
    assert measured.cosines == pytest.approx({("a", "b"): 1.0, ("a", "c"): -1.0, ("b", "c"): -1.0})
    assert measured.equal == pytest.approx({"a": 1 / 6, "b": 4 / 6, "c": 1 / 6})
    # The losses are in proportion to the gradients, so that 1 / loss evens them out.
    assert measured.learned == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert measured.batches == 2


def test_advice() -> None:
    assert "nothing to weigh" in found({"a": 1.0}, [1.0]).advice()
    assert "Try `equal`" in found({"a": 1.0, "b": 2.0}, [1.0]).advice()
    assert "Try `uncertainty` first" in found({"a": 1.0, "b": 100.0}, [1.0]).advice()
    assert "of a and b point apart" in found({"a": 1.0, "b": -1.0}, [1.0]).advice()
    same_losses = Diagnosis({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 50.0}, {}, 1)
    assert "`gradnorm`" in same_losses.advice()


def test_an_absent_task_and_nothing_at_all() -> None:
    shared = torch.nn.Parameter(torch.zeros(2))
    both = linear({"a": 1.0, "b": 2.0}, shared)
    measured = diagnose(lambda batch: both(1.0) if batch else {"a": both(3.0)["a"]}, [shared], [0, 1])
    assert measured.losses == pytest.approx({"a": 20.0, "b": 20.0})
    with pytest.raises(MultisigmaError, match="a batch with a loss"):
        diagnose(both, [shared], [])
    with pytest.raises(MultisigmaError, match="parameters that learn"):
        diagnose(both, [shared.detach()], [1.0])  # type: ignore[list-item]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = tmp_path / "streets", tmp_path / "run"
    generate(root, 2, 2, 64, 128, seed=0, processes=1, samples_page=False)
    options = ["--preset", "demo", "--encoder", "test_resnet", "--aspp-channels", "8", "--decoder-channels", "8"]
    options += ["--iterations", "2", "--batch-size", "2", "--crop", "64x128", "--frozen-stride", "2"]
    options += ["--encoder-weights", "none", "--skip-channels", "0"]
    assert main(["--quiet", "train", "--data", str(root), "--out", str(run), *options]) == 0
    assert main(["diagnose", str(run), "--data", str(root)]) == 0
    page = (run / "diagnosis.md").read_text()
    assert "Try `" in page
    assert "| semantic, depth |" in page
    assert "nan" not in page
