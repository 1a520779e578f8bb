"""`multisigma predict` on the model of a run: folders of pictures, what is broken, and the way back to `evaluate`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multisigma import SceneModel
from multisigma.cli import main
from multisigma.datasets.cityscapes import list_frames, read_frame
from multisigma.datasets.frame import instance_vectors
from multisigma.datasets.module import image_tensor
from multisigma.models import scene_model
from multisigma.synthetic import generate
from multisigma.training.run_folder import load_module
from tests.evaluations import numbers_in
from tests.frames import class_ids
from tests.frames import disparity as disparity_of
from tests.visualization.test_point_cloud import read_ply

SMALL = [
    *("--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8", "--decoder-channels", "8"),
    *("--batch-size", "2", "--crop", "48x96", "--workers", "0", "--accelerator", "cpu", "--learning-rate", "0.01"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "Straße 東京"
    generate(path, 4, 2, 64, 128, seed=0, processes=1, samples_page=False)
    return path


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    options = ["--data", str(root), "--out", str(path), *SMALL, "--iterations", "6", "--validate-every", "6"]
    assert main(["train", "--preset", "tiny", *options]) == 0
    return path


def predict(run: Path, out: Path, *arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--model", str(run), "--out", str(out), "--device", "cpu"])


def test_a_run_leaves_its_model(run: Path, root: Path) -> None:
    info = SceneModel.load(run, "cpu").info
    # It learned from crops of 48 rows of frames of 64.
    assert info.working_height == 64
    module = load_module(run)
    assert info.sigmas == pytest.approx(module.weighting.sigma)
    # The scale is the mean absolute error of a channel over the validation frames.
    errors: dict[str, list[np.ndarray]] = {"instance": [], "depth": []}
    for files in list_frames(root, "val"):
        frame = read_frame(files)
        with torch.inference_mode():
            outputs = {k: v[0].numpy() for k, v in module(image_tensor(frame)[None]).items()}
        disparity = np.where(class_ids(frame) == 23, 0, disparity_of(frame))
        for name, target in (("instance", instance_vectors(frame)), ("depth", disparity)):
            error = np.abs(outputs[name] - target)
            errors[name].append(error[np.isfinite(error)])
    assert info.noise_scales == pytest.approx({k: np.concatenate(v).mean() for k, v in errors.items()}, rel=1e-5)


def test_predictions_of_frames_are_those_of_evaluate(run: Path, root: Path, tmp_path: Path) -> None:
    """At their own size, frames give the files that `evaluate --save-predictions` writes, and are evaluated."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for votes in ("default", "paper"):
        saved, out = tmp_path / f"saved {votes}", tmp_path / f"aus Straße {votes}"
        options = ["--pictures", "0", "--votes", votes, "--save-predictions", str(saved)]
        assert main(["evaluate", str(copy), "--data", str(root), *options]) == 0
        assert predict(run, out, root / "leftImg8bit" / "val", "--votes", votes) == 0
        for kind in ("semantic", "disparity", "instance/masks"):
            # The names differ by `_leftImg8bit`.
            expected, found = sorted((saved / kind).iterdir()), sorted((out / kind).iterdir())
            assert [path.read_bytes() for path in expected] == [path.read_bytes() for path in found]
        assert main(["evaluate", "--predictions", str(out), "--data", str(root)]) == 0
        name = f"{root.name}-val" + ("" if votes == "default" else "-votes-paper")
        metrics, expected_metrics = numbers_in(out), numbers_in(copy, name)
        assert metrics["iou_class"] == expected_metrics["iou_class"]
        assert metrics["pq"] == expected_metrics["pq"]


def test_a_broken_image_does_not_stop_the_others(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "Bilder 東京"
    (folder / "deeper").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a photo.jpg")
    Image.fromarray(pixels).rotate(90, expand=True).convert("L").save(folder / "deeper" / "grau.png")
    (folder / "broken.png").write_bytes((folder / "deeper" / "grau.png").read_bytes()[:100])
    (folder / "notes.txt").write_text("no image")
    assert predict(run, tmp_path / "out", folder) == 2
    shown = capsys.readouterr()
    assert shown.err.count("computing on cpu") == 1
    assert "2 of 3 images predicted" in shown.out
    assert f"warning: {folder / 'broken.png'}: cannot be read as an image" in shown.err
    assert f"error: 1 of 3 images could not be predicted: {folder / 'broken.png'}" in shown.err
    assert "Traceback" not in shown.err
    found = {path.stem for path in (tmp_path / "out" / "scenes").iterdir()}
    assert found == {"a photo", "grau"} == {path.stem for path in (tmp_path / "out" / "pictures").iterdir()}
    content = json.loads((tmp_path / "out" / "scenes" / "grau.json").read_text(encoding="utf-8"))
    assert (content["height"], content["width"]) == (50, 40)


def test_a_camera_gives_metres(run: Path, root: Path, tmp_path: Path) -> None:
    image = next((root / "leftImg8bit" / "val").glob("*/*.png"))
    camera = next((root / "camera" / "val").glob("*/*.json"))
    assert predict(run, tmp_path / "out", image, "--camera", camera, "--height", "32") == 0
    (content,) = (json.loads(path.read_text()) for path in (tmp_path / "out" / "scenes").iterdir())
    depth = content["tasks"]["depth"]
    intrinsics = json.loads(camera.read_text())
    factor = intrinsics["extrinsic"]["baseline"] * intrinsics["intrinsic"]["fx"]
    assert content["camera"]["fx"] == intrinsics["intrinsic"]["fx"]
    assert depth["median_m"] == pytest.approx(factor / depth["disparity_px"]["50%"], rel=0.01)
    assert all(
        instance["distance_m"] is None or instance["distance_m"] > 0 for instance in content["tasks"]["instance"]
    )


def test_points_and_a_calibration(run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A field of view gives points; distances that were measured to be twice the predicted ones double them."""
    image = min((root / "leftImg8bit" / "val").glob("*/*.png"))
    options = [image, "--fov", "48.5", "--points", "--farthest", "1000", "--max-angle", "90"]
    assert predict(run, tmp_path / "out", *options, "--interval", "0.9") == 0
    (cloud,) = (tmp_path / "out" / "points").iterdir()
    assert cloud.name == f"{image.stem}.ply"
    table = read_ply(cloud.read_bytes())
    assert len(table) > 100
    assert set(table.dtype.names or ()) >= {"class", "instance", "score", "nearest", "farthest"}
    (content,) = (json.loads(path.read_text()) for path in (tmp_path / "out" / "scenes").iterdir())
    assert content["tasks"]["depth"]["scale_from"] == "training camera"
    camera = content["camera"]
    assert camera["baseline"] == SceneModel.load(run, "cpu").info.camera.baseline == 0.22  # type: ignore[union-attr]
    rows = ["image,column,row,metres"]
    for point in table[:: len(table) // 5]:
        column, row = (
            camera[f] * point[a] / point["z"] + camera[c] for f, a, c in (("fx", "x", "u0"), ("fy", "y", "v0"))
        )
        rows.append(f"{image},{column:.3f},{row:.3f},{2 * point['z']}")
    (tmp_path / "distances.csv").write_text("\n".join(rows))
    capsys.readouterr()
    calibration = tmp_path / "calibration.json"
    arguments = [tmp_path / "distances.csv", "--model", run, "--device", "cpu", "--fov", "48.5", "--out", calibration]
    assert main(["calibrate", *map(str, arguments)]) == 0
    assert "distances times 2.0" in capsys.readouterr().out
    assert predict(run, tmp_path / "doubled", *options, "--calibration", str(calibration)) == 0
    scale = json.loads(calibration.read_text())["scale"]
    doubled = read_ply((tmp_path / "doubled" / "points" / cloud.name).read_bytes())
    # Points beyond the largest depth are gone.
    np.testing.assert_allclose(doubled["z"][:50], scale * table["z"][table["z"] * scale <= 1000][:50], rtol=1e-4)


def test_a_model_without_a_camera_is_doubted(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    info = json.loads((run / "model.json").read_text())
    (tmp_path / "run" / "model.json").write_text(json.dumps(info | {"camera": None}))
    image = min((root / "leftImg8bit" / "val").glob("*/*.png"))
    assert predict(tmp_path / "run", tmp_path / "out", image, "--fov", "48.5") == 0
    assert "distances are right only up to a factor" in capsys.readouterr().err
    (content,) = (json.loads(path.read_text()) for path in (tmp_path / "out" / "scenes").iterdir())
    assert content["tasks"]["depth"]["scale_from"] == "assumption"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,column,row\na.png,1,2\n", "line 2: must have an image and three numbers"),
        ("image,column,row,metres\na.png,1,2,far\n", "line 2: must have an image and three numbers"),
        ("image,column,row,metres\n", "must have a measured distance. Found none"),
        ("image,column,row,metres\na.png,1,2,5\n", "a.png"),
    ],
)
def test_faults_of_a_file_of_distances_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "distances.csv"
    path.write_text(text)
    assert main(["calibrate", str(path), "--model", str(run), "--device", "cpu", "--fov", "60"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{root}/leftImg8bit", "--out", "{root}"], "must be a new or empty folder"),
        (["{root}/nowhere.png", "--out", "{tmp}/out"], "nowhere.png: there is no such file"),
        (["{root}/camera", "--out", "{tmp}/out"], "the folder must hold images or videos"),
        (["{root}/leftImg8bit", "--out", "{tmp}/out", "--device", "tpu"], "`device` must be a device of this machine"),
        (
            ["{root}/leftImg8bit", "--out", "{tmp}/out", "--camera", "{root}/none.json"],
            "none.json: the camera file must be readable text",
        ),
        (["{root}/leftImg8bit", "--out", "{tmp}/out", "--fov", "180"], "--fov must be above 0 and below 180"),
        (["{root}/leftImg8bit", "--out", "{tmp}/out", "--points"], "--points must go with a camera. Found none."),
        (["{root}/leftImg8bit", "--out", "{tmp}/out", "--points", "--interval", "1"], "--interval must be from 0"),
        (
            ["{root}/leftImg8bit", "--out", "{tmp}/out", "--fov", "60", "--camera", "x.json"],
            "Options --camera and --fov exclude each other.",
        ),
    ],
)
def test_errors(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["predict", *(a.format(root=root, tmp=tmp_path) for a in arguments), "--model", str(run)]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_without_a_model_it_takes_the_one_that_ships(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = str(next((root / "leftImg8bit" / "val").glob("*/*.png")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scene_model, "DEFAULT_FOLDER", tmp_path / "weights")
    assert main(["predict", image, "--device", "cpu"]) == 2
    assert "weights: the package must hold a model, if none is named" in capsys.readouterr().err
    assert main(["export", "--out", str(tmp_path / "model.onnx")]) == 2
    assert "weights: the package must hold a model, if none is named" in capsys.readouterr().err
    SceneModel.load(run, "cpu").save(tmp_path / "weights", half=True)
    assert main(["predict", image, "--device", "cpu"]) == 0
    assert "model: the one that multisigma ships (test_resnet, " in capsys.readouterr().err
    assert len(list(Path("predictions/scenes").iterdir())) == 1


def test_a_run_among_the_images_is_named(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(root / "leftImg8bit"), "--out", str(tmp_path / "out")]) == 2
    message = f"{run}: an input must be an image, a video or a folder of these. Found a model. Name it with --model: "
    assert f"{message}multisigma predict INPUT ... --model {run}" in capsys.readouterr().err


def test_the_command_that_an_error_names_makes_the_model(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.json").unlink()
    (copy / "model.safetensors").unlink()
    assert predict(copy, tmp_path / "out", root / "leftImg8bit") == 2
    command = f"multisigma train --resume --out {copy}"
    assert command in capsys.readouterr().err
    assert main(command.split()[1:]) == 0
    assert (copy / "model.safetensors").read_bytes() == weights
    assert (copy / "model.json").read_bytes() == (run / "model.json").read_bytes()


def test_a_run_without_validation_has_no_scales(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root", ignore=shutil.ignore_patterns("val"))
    run = tmp_path / "run"
    options = ["--data", str(tmp_path / "root"), "--out", str(run), *SMALL, "--iterations", "1"]
    assert main(["train", "--preset", "tiny", *options, "--weighting", "equal"]) == 0
    model = SceneModel.load(run, "cpu")
    assert model.info.noise_scales == {}
    assert model.info.sigmas == {}
