"""The configuration: presets against the paper, files, rules."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from multisigma import MultisigmaError
from multisigma.tasks import load_tasks
from multisigma.training.config import PRESETS, Names, Size, TrainConfig
from multisigma.training.scene_module import make_weighting


def test_presets_hold_the_papers_values() -> None:
    full, tiny, table1 = (TrainConfig.from_yaml(PRESETS[name]) for name in ("full", "tiny", "table1"))
    for preset in (full, tiny):
        assert (preset.encoder, preset.output_stride, preset.decoder_channels) == ("resnet101.tv_in1k", 8, 256)
        assert preset.dilations == Names("1", "12", "24", "36")
        assert (preset.learning_rate, preset.momentum, preset.weight_decay, preset.poly_power) == (
            2.5e-3,
            0.9,
            1e-4,
            0.9,
        )
        assert preset.weighting == "uncertainty"
        assert preset.pretrained
    assert (full.iterations, full.batch_size, full.crop) == (100_000, 16, Size(512, 512))
    assert (full.scale_min, full.scale_max, full.flip) == (0.7, 2.0, 0.5)
    assert (tiny.iterations, tiny.batch_size, tiny.crop) == (50_000, 8, Size(128, 256))
    assert (tiny.scale_min, tiny.scale_max) == (1, 1)
    # Figure 2: 'All models were trained with a learning rate of 0.01'. Table 1 shares its values.
    assert table1 == dataclasses.replace(tiny, learning_rate=0.01)
    assert set(PRESETS) == {"demo", "table1", "tiny", "full"}


@pytest.mark.parametrize("name", ["table1", "tiny", "full"])
def test_presets_set_every_field_that_has_a_meaning_in_the_paper(name: str) -> None:
    given = yaml.safe_load(PRESETS[name].read_text())
    elsewhere = {"data", "missing_labels", "weights", "encoder_weights", "seed", "accelerator", "devices", "nodes"}
    assert set(given) == {field.name for field in dataclasses.fields(TrainConfig)} - elsewhere


def test_equal_weights_sum_to_one() -> None:
    tasks = load_tasks(["semantic", "instance", "depth"])
    equal = make_weighting(TrainConfig(weighting="fixed"), tasks).weights
    assert equal == pytest.approx({"semantic": 1 / 3, "instance": 1 / 3, "depth": 1 / 3})
    (alone,) = make_weighting(TrainConfig(weighting="fixed", tasks=Names("depth")), tasks[2:]).weights.values()
    assert alone == 1


def test_the_uniform_form_against_numpy() -> None:
    """exp(-s) L + s for every task, whatever its likelihood; the noise exp(s) goes to the mean loss."""
    tasks, means = load_tasks(["semantic", "instance", "depth"]), {"semantic": 0.3, "instance": 8.0, "depth": 2.0}
    weighting = make_weighting(TrainConfig(weighting="uniform", initial_log_variance=0.7), tasks)
    losses = {name: torch.tensor(mean) for name, mean in means.items()}
    expected = sum(np.exp(-0.7) * mean + 0.7 for mean in means.values())
    assert weighting(losses).item() == pytest.approx(expected, rel=1e-6)
    assert weighting.weights == pytest.approx(dict.fromkeys(means, np.exp(-0.7)))
    optimizer = torch.optim.SGD(weighting.param_groups(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        weighting(losses).backward()
        optimizer.step()
    assert {name: 1 / weight for name, weight in weighting.weights.items()} == pytest.approx(means, rel=1e-4)


def test_a_file_comes_back(tmp_path: Path) -> None:
    config = TrainConfig(data="x", tasks=Names("depth"), weighting="fixed", weights=Names("0.5"), crop=Size(3, 4))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert TrainConfig.from_yaml(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch_size": 0}, "--batch-size must be positive; found 0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive"),
        ({"iterations": -1}, "--iterations"),
        ({"momentum": -0.1}, "--momentum must not be negative"),
        ({"flip": 1.5}, "--flip"),
        ({"scale_max": 0.5}, "--scale-max"),
        ({"crop": None}, "--crop"),
        ({"batch_size": 3, "devices": 2}, "multiple of the 2 devices"),
        ({"dilations": Names("1", "x")}, "--dilations"),
        ({"weights": Names("1", "1", "1")}, "--weighting fixed"),
        ({"weighting": "fixed", "weights": Names("1")}, "3 tasks"),
        ({"weighting": "fixed", "weights": Names("1", "b", "c")}, "numbers"),
        ({"initial_log_variance": float("inf")}, "--initial-log-variance"),
    ],
)
def test_rules(values: dict[str, object], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        TrainConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iteration: 5", "iteration"),
        ("- a", "fields"),
        ("crop: 5", "HxW"),
        ("batch_size: 0", r"config\.yaml: Option --batch-size must be positive"),
        ("{", "YAML"),
        ("iterations: many", "iterations|many|real"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(MultisigmaError, match=words):
        TrainConfig.from_yaml(tmp_path / "config.yaml")


def test_sizes_and_names() -> None:
    assert Size.parse("128x256") == Size(128, 256)
    assert str(Size.parse("128X256")) == "128x256"
    assert Names.parse("a, b") == Names.parse(["a", "b"]) == Names("a", "b")
    for bad in ("128", "0x5", "ax5", "-1x5", ""):
        with pytest.raises(ValueError, match="HxW"):
            Size.parse(bad)
    for bad in ("a,,b", "", []):
        with pytest.raises(ValueError, match="commas"):
            Names.parse(bad)
