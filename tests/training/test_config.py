"""The configuration: presets against the paper, files, rules."""

from pathlib import Path

import pytest

from multisigma import MultisigmaError
from multisigma.training.config import PRESETS, Names, Size, TrainConfig


def test_presets_hold_the_papers_values() -> None:
    full, tiny = TrainConfig.from_yaml(PRESETS["full"]), TrainConfig.from_yaml(PRESETS["tiny"])
    for preset in (full, tiny):
        assert (preset.encoder, preset.output_stride, preset.decoder_channels) == ("resnet101", 8, 256)
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
    assert set(PRESETS) == {"demo", "tiny", "full"}


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
