"""A model in another runtime: its numbers are those of the model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from multisigma import MultisigmaError, OnnxSceneModel, SceneModel, postprocess
from multisigma.cli import main
from multisigma.models import ScenePrediction
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
    assert found.summary()["tasks"]["instance"] == expected.summary()["tasks"]["instance"]


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


def test_an_encoder_that_pads_like_tensorflow_needs_a_fixed_size() -> None:
    info = replace(INFO, encoder="tf_efficientnet_lite0", output_stride=16)
    model = SceneModel(info, load_tasks(info.tasks))
    with pytest.raises(MultisigmaError, match=r"'tf_efficientnet_lite0', which pads by .* such as --size 32x64"):
        export_program(model)


@pytest.mark.slow
def test_the_model_that_ships_predicts_the_same_when_exported(tmp_path: Path) -> None:
    model = SceneModel.default("cpu")
    export_model(model, tmp_path / "model.onnx", size=(256, 512))
    exported = OnnxSceneModel.load(tmp_path / "model.onnx", threads=1)
    assert exported.info == model.info
    image = noise_image(256, 512)
    assert_same_scene(exported.predict(image, CAMERA), model.predict(image, CAMERA))


def test_a_program_of_torch_export_gives_the_model_s_numbers(model: SceneModel, tmp_path: Path) -> None:
    export_model(model, tmp_path / "model.pt2", size=(32, 64))
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
