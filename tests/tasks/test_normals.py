"""Surface normals: labels of known planes, the loss against its density, and how labels move with the frame."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import vonmises_fisher

from multisigma import UncertaintyWeighting
from multisigma.datasets.augment import apply_transform
from multisigma.datasets.fields import Directions, Disparity, Field, Image
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.transform import Transform
from multisigma.tasks import Normals, NormalsResult, PostprocessContext, load_tasks, normals_of_disparity, postprocess
from multisigma.tasks.normals import AngularErrors

CAMERA = Camera(0.2, 400.0, 380.0, 70.3, 41.8)


def disparity_of_plane(normal: NDArray[np.float64], distance: float) -> NDArray[np.float32]:
    """Intersect each pixel's ray with the plane normal . P = -distance; by points, not by slopes."""
    height, width = 90, 140
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - CAMERA.u0) / CAMERA.fx, (v - CAMERA.v0) / CAMERA.fy, np.ones((height, width))])
    depth = -distance / np.tensordot(normal, rays, 1)
    return np.where(depth > 0, CAMERA.baseline * CAMERA.fx / depth, np.nan).astype(np.float32)


@pytest.mark.parametrize("normal", [(0, 0, -1), (0, -1, 0), (0.6, 0, -0.8), (-0.36, -0.48, -0.8)])
def test_normals_of_planes(normal: tuple[float, float, float]) -> None:
    disparity = disparity_of_plane(np.array(normal, float), 1.3)
    found = normals_of_disparity(disparity, CAMERA)
    labelled = np.isfinite(found[0])
    # The ground begins at the horizon, in row 41.8: a window reaches two rows.
    assert labelled.sum() > 0.4 * labelled.size
    degrees = np.degrees(np.arccos(np.clip(np.tensordot(normal, found[:, labelled], 1), -1, 1)))
    assert degrees.max() < 0.5
    np.testing.assert_allclose(np.linalg.norm(found[:, labelled], axis=0), 1, atol=1e-6)


def test_edges_holes_and_borders_have_no_normal() -> None:
    disparity = np.full((40, 60), 4, np.float32)
    disparity[:, 30:] = 9
    disparity[20, 10] = np.nan
    labelled = np.isfinite(normals_of_disparity(disparity, CAMERA)[0])
    assert not labelled[:, 28:32].any()
    assert not labelled[18:23, 8:13].any()
    assert not labelled[:2].any()
    assert not labelled[:, -2:].any()
    assert labelled[2:-2, 34:-2].all()
    assert labelled[2:-2, 13:26].all()


def frame_with(**fields: Field) -> Frame:
    return Frame("a", {"image": Image(np.zeros((90, 140, 3), np.uint8)), **fields}, CAMERA, CITYSCAPES)


def test_labels_of_a_flipped_scaled_crop_are_the_flipped_labels() -> None:
    normal = np.array([-0.36, -0.48, -0.8])
    frame = frame_with(disparity=Disparity(disparity_of_plane(normal, 1.3)))
    moved = apply_transform(frame, Transform(True, 135, 210, 20, 30, 80, 120))
    target = Normals().target(moved)
    labelled = target[0].isfinite()
    assert labelled.float().mean() > 0.5
    mirrored = torch.tensor([0.36, -0.48, -0.8])[:, None]
    # The nearest pixel of a frame scaled by 1.5 is up to half a pixel off.
    assert (target[:, labelled] * mirrored).sum(0).mean() > math.cos(math.radians(5))


def test_a_stored_field_comes_first_and_nothing_gives_no_label() -> None:
    vectors = np.zeros((90, 140, 3), np.float32)
    vectors[..., 2] = -1
    vectors[3] = np.nan
    disparity = Disparity(disparity_of_plane(np.array([0.6, 0, -0.8]), 1.3))
    target = Normals().target(frame_with(normals=Directions(vectors), disparity=disparity))
    assert target.shape == (3, 90, 140)
    assert target[:, 3].isnan().all()
    assert (target[2, 4:] == -1).all()
    assert Normals().target(frame_with()).isnan().all()
    without_camera = Frame("a", {"disparity": disparity}, None, CITYSCAPES)
    assert Normals().target(without_camera).isnan().all()


def test_loss_is_one_minus_the_cosine_over_labelled_pixels() -> None:
    rng = np.random.default_rng(0)
    output = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    target = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    target[0, 1, 2, 3] = np.nan
    expected = [
        1 - output[b, :, y, x] @ target[b, :, y, x] / np.linalg.norm(output[b, :, y, x])
        for b, y, x in np.ndindex(2, 4, 5)
        if np.isfinite(target[b, :, y, x]).all()
    ]
    tensor = torch.from_numpy(output).requires_grad_()
    total, count = Normals().loss(tensor, torch.from_numpy(target))
    assert int(count) == len(expected) == 39
    assert total.item() == pytest.approx(sum(expected), rel=1e-5)
    total.backward()
    assert tensor.grad is not None
    assert tensor.grad.isfinite().all()
    assert not tensor.grad[0, :, 2, 3].any()
    zero = torch.zeros(2, 3, 4, 5, requires_grad=True)
    Normals().loss(zero, torch.from_numpy(target))[0].backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


def test_the_learned_noise_is_the_concentration_of_a_von_mises_fisher_distribution() -> None:
    kappa = 40.0
    mean = np.array([0.0, -0.6, -0.8])
    drawn = vonmises_fisher(mean, kappa).rvs(200_000, random_state=0)
    target = torch.from_numpy(drawn.T.astype(np.float32))[None, :, :, None]
    output = torch.from_numpy(3 * mean.astype(np.float32))[None, :, None, None].expand_as(target)
    loss = Normals().loss(output, target)
    weighting = UncertaintyWeighting({"normals": Normals().likelihood}, closed_form=True)
    objective = weighting({"normals": loss})
    assert weighting.weights["normals"] == pytest.approx(kappa, rel=0.01)
    nll = -vonmises_fisher(mean, kappa).logpdf(drawn).mean()
    assert objective.item() + math.log(2 * math.pi) == pytest.approx(nll, abs=0.01)


def test_results_and_pictures() -> None:
    (task,) = load_tasks(["normals"])
    output = np.zeros((3, 90, 140), np.float32)
    output[2], output[1, 45:] = -5, -1e-3
    output[2, 45:] = 0
    results = postprocess([task], {"normals": output}, PostprocessContext())
    result = results["normals"]
    assert isinstance(result, NormalsResult)
    np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=0), 1, atol=1e-6)
    small = result.resized(30, 50)
    assert small.vectors.shape == (3, 30, 50)
    np.testing.assert_allclose(np.linalg.norm(small.vectors, axis=0), 1, atol=1e-6)
    assert small.summary() == {"mean": [0.0, pytest.approx(-0.5, abs=0.02), pytest.approx(-0.5, abs=0.02)]}
    disparity = Disparity(disparity_of_plane(np.array([0.0, 0, -1]), 1.3))
    (picture,) = task.visualize(frame_with(disparity=disparity), results)
    assert picture.prediction is not None
    assert picture.truth is not None
    assert picture.prediction[10, 10].tolist() == picture.truth[10, 10].tolist() == [128, 128, 255]
    assert picture.prediction[80, 10].tolist() == [128, 255, 128]
    assert picture.truth[0, 0].tolist() == [0, 0, 0]
    (alone,) = task.visualize(frame_with(), results)
    assert alone.truth is None


def test_angles_against_plain_numpy() -> None:
    rng = np.random.default_rng(0)
    metric, counts, angles = AngularErrors(), [], []
    for name, noise in (("a", 0.1), ("b", 0.9)):
        truth = rng.normal(size=(20, 30, 3)).astype(np.float32)
        truth /= np.linalg.norm(truth, axis=2, keepdims=True)
        truth[3] = np.nan
        vectors = np.nan_to_num(truth) + noise * rng.normal(size=truth.shape)
        vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
        frame = Frame(name, {"normals": Directions(truth)}, None, CITYSCAPES)
        counts.append(metric.count({"normals": NormalsResult(vectors.transpose(2, 0, 1))}, frame))
        cosine = np.delete((truth * vectors).sum(2), 3, axis=0).astype(np.float64).clip(-1, 1)
        angles.append(np.degrees(np.arccos(cosine)).ravel())
    pooled = np.concatenate(angles)
    found = {m.key: m for m in metric.summarise(counts)}
    assert found["normals_mean_deg"].value == pytest.approx(pooled.mean(), rel=1e-4)
    assert found["normals_median_deg"].value == pytest.approx(np.median(pooled), abs=1 / 8)
    for degrees in (11.25, 22.5, 30):
        expected = 100 * (pooled < degrees).mean()
        assert found[f"normals_within_{degrees:g}"].value == pytest.approx(expected, abs=0.1)
        assert found[f"normals_within_{degrees:g}"].higher_is_better
    draws = metric.resample(counts, np.array([[1, 1], [2, 0]]))
    assert draws["normals_mean_deg"].tolist() == pytest.approx([pooled.mean(), angles[0].mean()], rel=1e-4)
    assert draws["normals_median_deg"][1] == pytest.approx(np.median(angles[0]), abs=1 / 8)
    assert all(math.isnan(m.value) for m in metric.summarise([]))
    assert metric.count({}, frame) == metric.count({"normals": NormalsResult(vectors)}, frame_with()) == {}


def test_a_perfect_and_a_half_wrong_prediction() -> None:
    truth = np.zeros((4, 6, 3), np.float32)
    truth[..., 2] = -1
    frame = Frame("a", {"normals": Directions(truth)}, None, CITYSCAPES)
    perfect = NormalsResult(truth.transpose(2, 0, 1))
    values = {m.key: m.value for m in AngularErrors().summarise([AngularErrors().count({"normals": perfect}, frame)])}
    assert values["normals_mean_deg"] == 0
    assert values["normals_median_deg"] <= 1 / 8
    assert values["normals_within_11.25"] == 100
    broken = perfect.vectors.copy()
    broken[:, :1] = np.nan
    found = AngularErrors().summarise([AngularErrors().count({"normals": NormalsResult(broken)}, frame)])
    assert found[0].value == 45
    assert found[2].value == 75
