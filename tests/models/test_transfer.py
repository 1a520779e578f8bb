"""Starting from another model's weights: what is loaded, what starts afresh, and that it is said."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multisigma import MultisigmaError, SceneModel
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import Label
from multisigma.models import ModelInfo, SceneNetwork
from multisigma.models.transfer import transfer_weights
from multisigma.tasks import load_tasks

STREET = LabelSpace(
    "street",
    tuple(
        Label(name, i, i, "street", 0, False, False, (i, i, i)) for i, name in enumerate(("car", "lamp", "road", "sky"))
    ),
)
NETWORK = {"encoder": "test_resnet", "encoder_weights": "none", "aspp_channels": 8, "decoder_channels": 8}


@pytest.fixture
def model(tmp_path: Path) -> SceneModel:
    info = ModelInfo(
        tasks=("semantic", "depth"),
        outputs={"semantic": 19, "depth": 1},
        working_height=32,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        encoder="test_resnet",
        aspp_channels=8,
        decoder_channels=8,
    )
    network = SceneNetwork(info.outputs, **NETWORK)  # type: ignore[arg-type]
    info = replace(info, mean=tuple(network.mean.flatten().tolist()), std=tuple(network.std.flatten().tolist()))
    model = SceneModel(info, load_tasks(info.tasks), network)
    model.save(tmp_path / "model")
    return model


def start(outputs: dict[str, int], folder: Path, labels: LabelSpace = CITYSCAPES, **options: object):  # type: ignore[no-untyped-def]
    torch.manual_seed(5)
    network = SceneNetwork(outputs, **(NETWORK | options))  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    done = transfer_weights(network, folder, str((NETWORK | options)["encoder"]), labels, ["semantic"])
    return network.state_dict(), before, done


def test_the_same_tasks_load_whole(model: SceneModel, tmp_path: Path) -> None:
    after, _, done = start({"depth": 1, "semantic": 19}, tmp_path / "model")
    stored = model.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in stored.items())
    assert str(done) == "loaded encoder, aspp, decoder of depth, decoder of semantic; afresh start no parts"


def test_other_classes_take_those_of_the_same_name_and_other_tasks_start_afresh(
    model: SceneModel, tmp_path: Path
) -> None:
    after, before, done = start({"semantic": 4, "normals": 3}, tmp_path / "model", STREET)
    stored = model.network.state_dict()
    assert done.classes == ["car", "road", "sky"]
    assert done.fresh == ["output of the class lamp", "decoder of normals (the model has none)"]
    assert "outputs of the classes car, road, sky" in str(done)
    for part in ("weight", "bias"):
        last = f"decoders.semantic.1.{part}"
        for i, train_id in ((0, 13), (2, 0), (3, 10)):
            assert torch.equal(after[last][i], stored[last][train_id])
        assert torch.equal(after[last][1], before[last][1])
    for name, value in after.items():
        if name.startswith("decoders.normals"):
            assert torch.equal(value, before[name])
        elif not name.startswith("decoders.semantic.1"):
            assert torch.equal(value, stored[name])


def test_another_size_starts_the_decoders_afresh(model: SceneModel, tmp_path: Path) -> None:
    after, before, done = start({"depth": 1}, tmp_path / "model", aspp_channels=16)
    assert done.loaded == ["encoder"]
    assert done.fresh == ["aspp", "decoder of depth (of another size)"]
    assert all(torch.equal(value, before[name]) for name, value in after.items() if not name.startswith("encoder."))
    _, _, done = start({"depth": 2}, tmp_path / "model")
    assert done.loaded[-1] == "decoder of depth but its outputs"
    assert done.fresh == ["outputs of depth"]


def test_what_cannot_start(model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(MultisigmaError, match=r"the same encoder\. Found test_resnet there, and resnet18 here"):
        start({"depth": 1}, tmp_path / "model", encoder="resnet18")
    with pytest.raises(MultisigmaError, match="Found nothing there"):
        start({"depth": 1}, tmp_path / "nowhere")
    replace(model.info, mean=(1.0, 2.0, 3.0)).write(tmp_path / "model" / "model.json")
    with pytest.raises(MultisigmaError, match="normalised otherwise"):
        start({"depth": 1}, tmp_path / "model")
