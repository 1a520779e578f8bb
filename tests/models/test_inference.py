"""Looks at an image: mirrored, at several sizes, in tiles, in batches."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from multisigma.datasets.label_space import CITYSCAPES
from multisigma.errors import MultisigmaError
from multisigma.models import Inference, SceneModel
from multisigma.models.inference import _starts, network_outputs
from multisigma.tasks import load_tasks
from tests.models.test_scene_model import picture, random_model

TASKS = load_tasks(("semantic", "instance", "depth", "normals"), {})


@pytest.fixture(scope="module")
def model() -> SceneModel:
    return random_model()


def disc_network(rgb: Tensor) -> dict[str, Tensor]:
    """A network that is right about a white disc: class 0, votes for its centre, its radius as disparity.

    Its normal points to the right where the disc is left of it, and to the left where it is right of it.
    """
    inside = rgb[:, 0] > 127  # (B, H, W)
    height, width = rgb.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    area = inside.sum((1, 2)).clamp(min=1)[:, None, None]
    centre_x, centre_y = ((inside * axis).sum((1, 2))[:, None, None] / area for axis in (x, y))
    to_x, to_y = centre_x - x, centre_y - y
    radius = (area / torch.pi).sqrt().expand_as(to_x)
    logits = torch.zeros(len(rgb), len(CITYSCAPES.train_classes), height, width)
    logits[:, 0] = inside.float()
    normals = torch.stack([to_x.sign(), torch.zeros_like(to_x), -torch.ones_like(to_x)], 1)
    return {"semantic": logits, "instance": torch.stack([to_x, to_y], 1), "depth": radius[:, None], "normals": normals}


def disc(height: int = 64, width: int = 128) -> Tensor:
    y, x = np.mgrid[:height, :width]
    inside = (x - 40) ** 2 + (y - 30) ** 2 < 20**2
    return torch.from_numpy(np.where(inside, 255, 0)[None].repeat(3, 0).astype(np.uint8))[None]


@pytest.mark.parametrize(
    ("inference", "pixels"),
    [
        (Inference(flip=True), 1e-4),
        (Inference(scales=(0.5, 1.0, 2.0)), 0.6),
        (Inference(flip=True, scales=(0.75, 1.0)), 0.6),
    ],
)
def test_looks_agree_if_the_network_is_right(inference: Inference, pixels: float) -> None:
    """Averaging changes nothing, up to the rounding of the disc: votes are mirrored and scaled, disparity scaled."""
    one, all_looks = (network_outputs(disc_network, disc(), TASKS, look) for look in (Inference(), inference))
    assert (all_looks["instance"] - one["instance"]).abs().max() < pixels
    assert (all_looks["depth"] - one["depth"]).abs().max() < pixels
    same = all_looks["semantic"].argmax(1) == one["semantic"].argmax(1)
    assert same.float().mean() > 0.99
    far = (one["instance"][:, 0].abs() > 2)[:, None].expand_as(one["normals"])
    assert (all_looks["normals"] - one["normals"])[far].abs().max() < 1e-4


def test_tiles_are_seamless(model: SceneModel) -> None:
    """A network without context gives in tiles what it gives for the whole image."""

    def local(rgb: Tensor) -> dict[str, Tensor]:
        return {task.name: rgb[:, : task.channels(CITYSCAPES)].float() for task in TASKS if task.name != "semantic"}

    rgb = torch.from_numpy(picture(150, 333)).permute(2, 0, 1)[None]
    tasks = [task for task in TASKS if task.name != "semantic"]
    whole, tiled = (network_outputs(local, rgb, tasks, Inference(tile=tile)) for tile in (None, 64))
    for name in whole:
        torch.testing.assert_close(tiled[name], whole[name], rtol=1e-5, atol=1e-3)
    for length in (64, 65, 100, 333, 1000):
        starts = _starts(length, 64)
        assert starts[0] == 0
        assert starts[-1] == max(0, length - 64)
        assert all(b - a <= 48 for a, b in pairwise(starts))
    scene = model.predict(picture(48, 300), height=96, inference=Inference(tile=64))
    assert scene["semantic"].ids.shape == (48, 300)


def test_batches_give_what_single_images_give(model: SceneModel) -> None:
    images = [picture(32, 64), picture(32, 64)[::-1], picture(40, 50), picture(32, 64)]
    alone = [model.predict(image) for image in images]
    together = list(model.predict_all(images, batch=3))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_allclose(one["depth"].disparity, other["depth"].disparity, rtol=1e-4, atol=1e-4)
        assert (one["semantic"].ids == other["semantic"].ids).mean() > 0.999


def test_half_precision_is_near(model: SceneModel) -> None:
    image = picture(32, 64)
    one, half = model.predict(image), model.predict(image, inference=Inference(half=True))
    assert half["depth"].disparity.dtype == np.float32
    assert (one["semantic"].ids == half["semantic"].ids).mean() > 0.9


@pytest.mark.parametrize("options", [{"scales": ()}, {"scales": (0.01,)}, {"tile": 10}])
def test_errors(options: dict[str, object]) -> None:
    with pytest.raises(MultisigmaError, match=f"`{next(iter(options))}` must be"):
        Inference(**options)  # type: ignore[arg-type]
    with pytest.raises(MultisigmaError, match="`batch` must be positive"):
        next(random_model().predict_all([], batch=0))
