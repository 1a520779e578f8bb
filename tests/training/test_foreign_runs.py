"""Runs of strangers run no code in any command, and odd files give an error message."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from multisigma.cli import main
from multisigma.errors import MultisigmaError
from multisigma.experiments.results import Result
from multisigma.files import MOST_BYTES
from multisigma.instances import VoteSettings, instances_from_votes
from multisigma.models import SceneModel
from multisigma.training.baselines import read_baselines
from multisigma.training.config import Names, TrainConfig

TASK, WEIGHTING, DATA = "stranger.module.Task", "stranger.module.Weighting", "stranger.module.Data"


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the Python path with a module that leaves a file when it is imported."""
    package = tmp_path / "path" / "stranger"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "module.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(package.parent))
    yield tmp_path
    for name in ("stranger", "stranger.module"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("fields", [{"tasks": TASK}, {"tasks": "depth", "weighting": WEIGHTING}, {"data": DATA}])
@pytest.mark.parametrize("command", ["evaluate", "diagnose", "report", "train", "train with --config"])
def test_no_command_imports_the_code_of_a_foreign_run(
    stranger: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, str], command: str
) -> None:
    run = stranger / "run"
    run.mkdir()
    # A configuration that to_yaml wrote, so that only the names are odd.
    content = yaml.safe_load(TrainConfig(data="nowhere", tasks=Names("depth")).to_yaml()) | fields
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    arguments = {
        "evaluate": ["evaluate", str(run), "--data", str(stranger / "none")],
        "diagnose": ["diagnose", str(run), "--data", str(stranger / "none")],
        "report": ["report", str(run)],
        "train": ["train", "--resume", "--out", str(run)],
        "train with --config": ["train", "--config", str(run / "config.yaml"), "--out", str(stranger / "other")],
    }[command]
    status = main(arguments)
    assert not (stranger / "executed").exists()
    message = capsys.readouterr().err
    # Its own data is not that of a diagnosis, and an evaluation stops at the data that is not there.
    if command.startswith("train") or (command == "diagnose" and "data" not in fields):
        assert status == 2
        assert f"Found {next(v for v in reversed(fields.values()) if '.' in v)!r}, which is not built in" in message
        assert "--trust-code" in message
    if command == "train":
        assert main([*arguments, "--trust-code"]) == 2
        assert (stranger / "executed").exists() == ("data" in fields)  # The other data is not there.


def test_what_is_typed_is_trusted(stranger: Path) -> None:
    arguments = [
        "train",
        "--data",
        "nowhere",
        "--tasks",
        "depth",
        "--weighting",
        WEIGHTING,
        "--out",
        str(stranger / "x"),
    ]
    assert main(arguments) == 2
    assert not (stranger / "executed").exists()  # Its data is at fault first.
    assert main([*arguments[:2], DATA, *arguments[3:]]) == 2
    assert (stranger / "executed").exists()


def test_a_foreign_result_is_not_taken(stranger: Path) -> None:
    Result(TrainConfig(tasks=Names(TASK))).write(stranger / "result.json.gz")
    with pytest.raises(MultisigmaError, match="runs code of its author"):
        Result.read(stranger / "result.json.gz")
    assert Result.read(stranger / "result.json.gz", trust_code=True).config.tasks == Names(TASK)
    assert not (stranger / "executed").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks: &a [depth]\nencoder: *a\n", "aliases"),
        ("seed: 2001-99-99\n", "a value cannot be"),
        ("seed: 2001-01-01\n", "`seed` must be of type int"),
        ("encoder: [a, b]\n", "`encoder` must be of type str"),
        ("compile: 3\n", "`compile` must be of type bool"),
        ("weighting_options: {1: 2}\n", "`weighting_options` must be of type"),
        (f"iterations: {10**400}\n", "iterations|large"),
        ("encoder: " + "[" * 5000, "a value cannot be|YAML"),
        ("{a: 1, 2001-01-01: 2}: 3\n", "fields|YAML|found"),
    ],
)
def test_odd_configurations(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(MultisigmaError, match=words) as found:
        TrainConfig.from_yaml(tmp_path / "config.yaml")
    assert str(found.value).startswith(str(tmp_path / "config.yaml"))


def test_an_alias_bomb_ends_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    assert main(["report", str(tmp_path)]) == 2
    assert "aliases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("environment.json", "[1]"),
        ("environment.json", '{"training seconds": 1e999}'),
        ("network.json", '[{"part": 1, "parameters": "x", "multiply_adds": {}}]'),
        ("network.json", "[" * 100_000),
        ("evaluations/x/metrics.json", '{"format_version": 1, "measurements": 3}'),
        ("logs/csv/0/metrics.csv", "step\x00,a\n\x00,1\n"),
        ("logs/csv/9/metrics.csv", "step,a\n99999999999999999999999999,1\n"),
        ("config.yaml", "tasks: 3\ndata: [1]\n"),
    ],
)
def test_odd_inputs_of_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: str) -> None:
    (tmp_path / "config.yaml").write_text("tasks: depth\n")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    assert main(["report", str(tmp_path)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["cut", "objects", "bomb"])
def test_odd_baselines(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "baselines.npz"
    np.savez_compressed(path, depth=np.array([{}]) if kind == "objects" else np.zeros(10_000))
    if kind == "cut":
        os.truncate(path, 100)
    if kind == "bomb":
        monkeypatch.setattr("multisigma.training.baselines.MOST_BYTES", 1000)
        assert MOST_BYTES > 1000
    with pytest.raises(MultisigmaError, match="cannot be read as baselines"):
        read_baselines(tmp_path)


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    folder = SceneModel.default("cpu")
    folder.save(tmp_path)
    SceneModel.load(tmp_path, "cpu")
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(MultisigmaError, match="their checksum is not the stored one"):
        SceneModel.load(tmp_path, "cpu")
    # A model of an earlier release has none.
    info = json.loads((tmp_path / "model.json").read_text())
    del info["weights_sha256"]
    (tmp_path / "model.json").write_text(json.dumps(info))
    SceneModel.load(tmp_path, "cpu")


@pytest.mark.parametrize("length", [1e49, 1e154])
def test_votes_of_any_accepted_length_have_finite_confidences(length: float) -> None:
    semantic = np.full((8, 16), 26, np.uint8)
    vectors = np.zeros((2, 8, 16))
    vectors[0, :, 8:] = length
    settings = VoteSettings(min_samples=2, min_pixels=1)
    if length > 1e50:
        with pytest.raises(MultisigmaError, match="below 1e50 px"):
            instances_from_votes(vectors, semantic, [26], settings=settings)
    else:
        assert np.isfinite(instances_from_votes(vectors, semantic, [26], settings=settings).confidence).all()
