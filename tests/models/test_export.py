"""A model in another runtime: its numbers are those of the model."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from multisigma import MultisigmaError, SceneModel
from multisigma.cli import main
from multisigma.models.export import export_model, export_program
from multisigma.tasks import load_tasks
from tests.models.test_scene_model import INFO, random_model

SIZES = [(1, 32, 64), (2, 45, 31), (3, 64, 96)]


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return random_model()


def outputs_of(model: SceneModel, rgb: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        return {name: output.numpy() for name, output in model(rgb).items()}


def test_onnx_gives_the_model_s_numbers_at_any_size(model: SceneModel, tmp_path: Path) -> None:
    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["semantic", "instance", "depth"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["multisigma"]) == INFO.to_json()
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in SIZES:
        rgb = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)
        found = session.run(None, {"rgb": rgb.numpy()})
        for (name, expected), output in zip(outputs_of(model, rgb).items(), found, strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4, err_msg=name)


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


def test_the_command_writes_a_file_with_a_fixed_size(
    model: SceneModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "a.onnx"), "--size", "40x56"]) == 0
    assert "outputs semantic, instance, depth" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [3, 40, 56]
    rgb = torch.full((1, 3, 40, 56), 90, dtype=torch.uint8)
    found = session.run(["depth"], {"rgb": rgb.numpy()})[0]
    np.testing.assert_allclose(found, outputs_of(model, rgb)["depth"], rtol=1e-4, atol=1e-4)


def test_another_ending_is_refused(model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match=r"model\.tflite: an exported file must end in \.onnx or \.pt2"):
        export_model(model, tmp_path / "model.tflite")


def test_without_the_extra_the_error_names_it(
    model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MultisigmaError, match=r"multisigma\[export\]"):
        export_model(model, tmp_path / "model.onnx")


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(MultisigmaError, match=r"at least 1 pixel each way\. Found 0x8"):
        export_program(SceneModel(INFO, load_tasks(INFO.tasks)), (0, 8))
