"""The configuration: presets against the paper, files, rules."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from multisigma import MultisigmaError
from multisigma.cli.train import make_parser
from multisigma.training.config import PRESETS, Names, Size, TrainConfig


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
        assert preset.encoder_weights == "hub"
    assert (full.iterations, full.batch_size, full.crop) == (100_000, 16, Size(512, 512))
    assert (full.scale_min, full.scale_max, full.flip) == (0.7, 2.0, 0.5)
    assert (tiny.iterations, tiny.batch_size, tiny.crop) == (50_000, 8, Size(128, 256))
    assert (tiny.scale_min, tiny.scale_max) == (1, 1)
    # Figure 2: 'All models were trained with a learning rate of 0.01'. Table 1 shares its values.
    assert table1 == dataclasses.replace(tiny, learning_rate=0.01)
    assert set(PRESETS) == {"demo", "laptop", "table1", "tiny", "full"}


@pytest.mark.parametrize("name", ["table1", "tiny", "full"])
def test_presets_set_every_field_that_has_a_meaning_in_the_paper(name: str) -> None:
    given = yaml.safe_load(PRESETS[name].read_text())
    elsewhere = {
        "data",
        "missing_labels",
        "damaged_frames",
        "weighting_options",
        "task_options",
        "init",
        "skip_channels",
        "separable",
        "shared_stages",
        "frozen_stride",
        "encoder_learning_rate",
        "photometric",
        "compile",
        "threads",
        "seed",
        "accelerator",
        "devices",
        "nodes",
    }
    assert set(given) == {field.name for field in dataclasses.fields(TrainConfig)} - elsewhere


def test_a_file_comes_back(tmp_path: Path) -> None:
    options = {"weights": {"depth": 0.5}}
    config = TrainConfig(data="x", tasks=Names("depth"), weighting_options=options, crop=Size(3, 4))
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
        ({"seed": 2**32}, "--seed must be below"),
        ({"scale_max": 0.5}, "--scale-max"),
        ({"crop": None}, "--crop"),
        ({"batch_size": 3, "devices": 2}, "multiple of the 2 devices"),
        ({"dilations": Names("1", "x")}, "--dilations"),
        ({"weighting_options": ["lr"]}, "--weighting-options must be a mapping"),
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
    nothing: list[str] = []
    for wrong in ("a,,b", "", nothing):
        with pytest.raises(ValueError, match="commas"):
            Names.parse(wrong)


def test_options_of_tasks_join_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("task_options: {depth: {likelihood: laplace, a: 1}, instance: {votes: paper}}")
    arguments = ["--out", str(tmp_path / "run"), "--config", str(tmp_path / "c.yaml")]
    arguments += ["--task.depth.likelihood=gaussian", "--task.normals.b", "2"]
    options = make_parser(arguments).parse_args(arguments)
    expected = {"depth": {"likelihood": "gaussian", "a": 1}, "instance": {"votes": "paper"}, "normals": {"b": "2"}}
    assert options.task_options == expected
    for wrong in (["--task.depth", "2"], ["--task.depth.likelihood"]):
        with pytest.raises(MultisigmaError, match=r"must be --task\.TASK\.NAME VALUE, .* Found --task\.depth"):
            make_parser(arguments).parse_args([*arguments, *wrong])
