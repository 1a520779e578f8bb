"""A model in another runtime: its numbers are those of the model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from timm.layers.conv2d_same import Conv2dSame

from multisigma import MultisigmaError, OnnxSceneModel, SceneModel, postprocess
from multisigma.cli import main
from multisigma.datasets.videos import VideoWriter
from multisigma.models import Inference, ScenePrediction
from multisigma.models.export import export_model, export_program
from multisigma.tasks import load_tasks
from tests.models.test_scene_model import CAMERA, INFO, random_model

SIZES = [(1, 32, 64), (2, 45, 31), (3, 64, 96)]


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return random_model()


@pytest.fixture(scope="module")
def exported(model: SceneModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_model(model, path)
    return path


def assert_same_scene(found: ScenePrediction, expected: ScenePrediction) -> None:
    """Assert what docs/export.md promises: the same classes and objects, and numbers within 1e-3."""
    assert np.mean(found["semantic"].ids == expected["semantic"].ids) > 0.999
    np.testing.assert_allclose(found["semantic"].probability, expected["semantic"].probability, atol=1e-3)
    np.testing.assert_allclose(found["instance"].vectors, expected["instance"].vectors, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["depth"].disparity, expected["depth"].disparity, rtol=1e-3, atol=1e-3)
    assert found["depth"].noise_scale == expected["depth"].noise_scale
    assert found["depth"].camera == expected["depth"].camera
    assert np.array_equal(found["instance"].ids(), expected["instance"].ids())
    for ours, theirs in zip(found["instance"], expected["instance"], strict=True):
        # Before they are rounded for JSON.
        for name in ("score", "distance"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-3)
        # A rounding error can move a vote from one cluster to its neighbour, and so both centres a little. The error
        # is that of the point: one of its coordinates may be near 0.
        error = np.subtract(ours.centre, theirs.centre)
        assert np.linalg.norm(error) <= 1e-3 * np.linalg.norm(theirs.centre)
        exact, wanted = (one.summary() for one in (ours, theirs))
        for key in ("score", "centre", "distance_m"):
            del exact[key], wanted[key]
        assert exact == wanted


def noise_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def outputs_of(model: SceneModel, rgb: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        return {name: output.numpy() for name, output in model(rgb).items()}


def test_onnx_gives_the_model_s_numbers_at_any_size(model: SceneModel, exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["semantic", "instance", "depth"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["multisigma"]) == INFO.to_json()
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in SIZES:
        rgb = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)
        found = session.run(None, {"rgb": rgb.numpy()})
        for (name, expected), output in zip(outputs_of(model, rgb).items(), found, strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (90, 120), (16, 20)])
def test_an_exported_model_predicts_what_the_model_does(
    model: SceneModel, exported: Path, height: int, width: int
) -> None:
    image = noise_image(height, width)
    found = OnnxSceneModel.load(exported, threads=1).predict(image, CAMERA)
    assert_same_scene(found, model.predict(image, CAMERA))


@pytest.mark.parametrize("options", [[], ["--batch", "2"], ["--size", "32x64", "--batch", "2"]])
def test_the_command_predicts_with_an_exported_model(model: SceneModel, tmp_path: Path, options: list[str]) -> None:
    """Pictures and a video: the same files as the model itself writes, also if the file is fixed to two at a time."""
    model.save(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "model.onnx"), *options]) == 0
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), np.uint8)
        Image.fromarray(noise).resize((64, 32)).save(inputs / f"{seed}.png")
    with VideoWriter(inputs / "video.avi", 10) as writer:
        for seed in range(3):
            writer.write(np.asarray(Image.open(inputs / f"{seed}.png")))
    for name, chosen in (("model", "--batch=1"), ("model.onnx", "--batch=2")):
        arguments = ["--model", str(tmp_path / name), "--out", str(tmp_path / f"of {name}"), "--device", "cpu", chosen]
        assert main(["predict", str(inputs), "--fov", "60", "--frame-files", *arguments]) == 0
    expected, found = tmp_path / "of model", tmp_path / "of model.onnx"
    paths = sorted(path.relative_to(expected) for path in expected.rglob("*.*"))
    assert paths == sorted(path.relative_to(found) for path in found.rglob("*.*"))
    scenes = [path for path in paths if path.parts[0] == "scenes"]
    assert len(scenes) == 6
    for path in scenes:
        objects = [json.loads((folder / path).read_text())["tasks"]["instance"] for folder in (expected, found)]
        assert [(one["class"], one["pixels"]) for one in objects[0]] == [
            (one["class"], one["pixels"]) for one in objects[1]
        ]
    classes = [path for path in paths if path.name.endswith("_labelIds.png")]
    assert len(classes) == 6
    for path in classes:
        same = np.asarray(Image.open(found / path)) == np.asarray(Image.open(expected / path))
        assert same.mean() > 0.999


def test_options_that_an_exported_model_does_not_have_are_named(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(noise_image(32, 64)).save(tmp_path / "street.png")
    for options in (["--flip"], ["--tile", "64"], ["--scales", "[1,2]"], ["--half"], ["--device", "cuda"]):
        arguments = [str(tmp_path / "street.png"), "--model", str(exported), "--out", str(tmp_path / "out"), *options]
        assert main(["predict", *arguments]) == 2
        assert f"Option {options[0]} must go with a run or a saved model" in capsys.readouterr().err
    with pytest.raises(MultisigmaError, match=r"`inference` must be None with an exported model"):
        next(OnnxSceneModel.load(exported, threads=1).predict_all([noise_image(8, 8)], inference=Inference(flip=True)))


def test_without_onnxruntime_the_error_names_the_extra(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(noise_image(32, 64)).save(tmp_path / "street.png")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    arguments = [str(tmp_path / "street.png"), "--model", str(exported), "--out", str(tmp_path / "out")]
    assert main(["predict", *arguments]) == 2
    assert "needs onnxruntime" in capsys.readouterr().err


def test_an_exported_model_needs_no_torch(model: SceneModel, exported: Path, tmp_path: Path) -> None:
    image = noise_image(40, 60)
    Image.fromarray(image).save(tmp_path / "street.png")
    code = """
import sys
sys.modules["torch"] = None  # an import raises
from multisigma import OnnxSceneModel
model, image, out = sys.argv[1:]
OnnxSceneModel.load(model, threads=1).predict(image).save(out, "street")
"""
    arguments = [str(exported), str(tmp_path / "street.png"), str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    expected = model.predict(image)
    found = np.load(tmp_path / "out" / "arrays" / "street_depth_disparity.npy")
    np.testing.assert_allclose(found, expected["depth"].disparity, rtol=1e-3, atol=1e-3)
    summary = json.loads((tmp_path / "out" / "scenes" / "street.json").read_text())
    assert summary["tasks"]["instance"] == expected.summary()["tasks"]["instance"]


def test_another_runtime_s_outputs_become_the_same_scene(model: SceneModel) -> None:
    image = noise_image(*[INFO.working_height] * 2)
    outputs = outputs_of(model, torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    arrays = {name: output[0] for name, output in outputs.items()}
    found = postprocess(image, arrays, model.info, camera=CAMERA)
    assert_same_scene(found, model.predict(image, CAMERA))


def test_the_command_writes_a_file_with_a_fixed_size_and_batch(
    model: SceneModel, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(tmp_path / "model")
    options = ["--out", str(tmp_path / "model.onnx"), "--size", "40x56", "--batch", "1"]
    assert main(["export", str(tmp_path / "model"), *options]) == 0
    assert "outputs semantic, instance, depth" in capsys.readouterr().out
    fixed = OnnxSceneModel.load(tmp_path / "model.onnx", threads=1)
    assert fixed.size == (40, 56)
    session = fixed.session
    assert session.get_inputs()[0].shape == [1, 3, 40, 56]
    image = noise_image(80, 112)
    assert_same_scene(fixed.predict(image, CAMERA), model.predict(image, CAMERA, height=40))
    assert "stretched" not in caplog.text
    fixed.predict(noise_image(40, 80))
    fixed.predict(noise_image(40, 80))
    assert [message for message in caplog.messages if "stretched" in message] == [
        "An image of 40x80 is stretched to the 40x56 that the exported model is fixed to. "
        "Export with another --size, or without one."
    ]
    with pytest.raises(MultisigmaError, match=r"`height` must be 40, to which .* is fixed\. Found 32"):
        fixed.predict(image, height=32)
    rgb = torch.full((1, 3, 40, 56), 90, dtype=torch.uint8)
    found = session.run(["depth"], {"rgb": rgb.numpy()})[0]
    np.testing.assert_allclose(found, outputs_of(model, rgb)["depth"], rtol=1e-4, atol=1e-4)


def padding_by_size(dilation: int = 1) -> SceneModel:
    """Return a model whose first convolution pads like TensorFlow: more on the right where an odd number is added."""
    model = random_model()
    stem = cast(torch.nn.Sequential, model.network.encoder.conv1)
    old = cast(torch.nn.Conv2d, stem[0])
    stem[0] = Conv2dSame(old.in_channels, old.out_channels, 3, stride=2, dilation=dilation)
    return model.eval()


def test_padding_like_tensorflow_is_exported_at_any_size(tmp_path: Path) -> None:
    model = padding_by_size()
    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch, height, width in [*SIZES, (1, 44, 32)]:
        rgb = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)
        expected = outputs_of(model, rgb)
        for name, output in zip(expected, session.run(None, {"rgb": rgb.numpy()}), strict=True):
            np.testing.assert_allclose(output, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_padding_by_the_size_needs_a_fixed_one_where_it_cannot_be_exported(tmp_path: Path) -> None:
    info = replace(INFO, encoder="tf_efficientnet_lite0", output_stride=16)
    with pytest.raises(MultisigmaError, match=r"'tf_efficientnet_lite0', which pads by .* such as --size 32x64"):
        export_program(SceneModel(info, load_tasks(info.tasks)))
    with pytest.raises(MultisigmaError, match=r"'test_resnet', which pads by .* such as --size 32x64"):
        export_model(padding_by_size(dilation=2), tmp_path / "model.onnx")


@pytest.mark.slow
def test_the_model_that_ships_predicts_the_same_when_exported(tmp_path: Path) -> None:
    """With the command's defaults, at the working height and at sizes that no stride divides."""
    model = SceneModel.default("cpu")
    assert main(["export", "--out", str(tmp_path / "model.onnx")]) == 0
    exported = OnnxSceneModel.load(tmp_path / "model.onnx", threads=1)
    assert exported.info == model.info
    for height, width in ((256, 512), (300, 341), (90, 500)):
        image = noise_image(height, width)
        assert_same_scene(exported.predict(image, CAMERA), model.predict(image, CAMERA))
    image = noise_image(97, 131)
    assert_same_scene(exported.predict(image, CAMERA, height=97), model.predict(image, CAMERA, height=97))


def test_a_program_of_torch_export_gives_the_model_s_numbers(
    model: SceneModel, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    export_model(model, tmp_path / "model.pt2", size=(32, 64))
    assert not recwarn.list
    program = torch.export.load(tmp_path / "model.pt2").module()
    for batch in (1, 3):
        rgb = torch.full((batch, 3, 32, 64), 120, dtype=torch.uint8)
        for name, expected in outputs_of(model, rgb).items():
            np.testing.assert_allclose(program(rgb)[name].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_an_encoder_that_pads_by_the_size_needs_a_fixed_one(model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match="'test_resnet' must have a fixed size in this format"):
        export_model(model, tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()


def test_faults_of_an_exported_file_are_named(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match=r"must be a file\. Found none"):
        OnnxSceneModel.load(tmp_path)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(MultisigmaError, match=r"text\.onnx: must be an ONNX file"):
        OnnxSceneModel.load(tmp_path / "text.onnx")
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(MultisigmaError, match=r"bare\.onnx: must be a model that multisigma exported"):
        OnnxSceneModel.load(tmp_path / "bare.onnx")
    foreign = replace(INFO, tasks=("semantic", "instance", "somewhere.Else"))
    onnx.helper.set_model_props(proto, {"multisigma": json.dumps(foreign.to_json())})
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(MultisigmaError, match=r"runs code of its author\. Found the task 'somewhere\.Else'"):
        OnnxSceneModel.load(tmp_path / "foreign.onnx")


def test_another_ending_is_refused(model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match=r"model\.tflite: an exported file must end in \.onnx or \.pt2"):
        export_model(model, tmp_path / "model.tflite")


def test_without_the_extra_the_error_names_it(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MultisigmaError, match=r"multisigma\[export\]"):
        export_model(model, tmp_path / "model.onnx")


def test_a_size_or_batch_of_nothing_is_refused(model: SceneModel) -> None:
    with pytest.raises(MultisigmaError, match=r"at least 1 pixel each way\. Found 0x8"):
        export_program(model, (0, 8))
    with pytest.raises(MultisigmaError, match=r"at least 1 image\. Found 0"):
        export_program(model, batch=0)
