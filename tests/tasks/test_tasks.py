"""Targets, losses, predictions and pictures of each task, against slow or independent versions."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from multisigma import Gaussian, Laplace, MultisigmaError, UncertaintyWeighting
from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import LABELS
from multisigma.metrics import IntervalCoverage
from multisigma.tasks import (
    Depth,
    Instance,
    InstanceResult,
    PostprocessContext,
    Semantic,
    Task,
    load_tasks,
    postprocess,
)
from multisigma.tasks.baselines import RowMean
from multisigma.visualization.colours import colour_vectors
from multisigma.visualization.picture import Picture
from tests.frames import class_ids, disparity, frame_of, without

ID = {label.name: label.id for label in LABELS}


@pytest.fixture
def frame() -> Frame:
    labels = np.full((12, 20), ID["road"], np.uint8)
    labels[:4] = ID["sky"]
    labels[0, 0] = ID["static"]
    labels[5:9, 2:8] = labels[5:9, 10:18] = ID["car"]
    instances = labels.astype(np.int32)
    instances[5:9, 2:8] = 26000
    instances[5:9, 10:14] = 26001
    disparity = np.linspace(1, 30, 240, dtype=np.float32).reshape(12, 20)
    disparity[6, 3:6] = np.nan
    image = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    return frame_of("a_000000_000019", image, labels, instances, disparity, Camera(0.2, 20, 20, 9.5, 5.5))


def test_semantic_target_is_the_training_id(frame: Frame) -> None:
    target = Semantic().target(frame)
    train_id = {label.id: label.train_id for label in LABELS}
    for y, x in np.ndindex(12, 20):
        expected = train_id[int(class_ids(frame)[y, x])]
        assert target[y, x] == (255 if expected in (255, -1) else expected)


def test_depth_target_is_zero_on_the_sky_and_unlabelled_in_holes(frame: Frame) -> None:
    target = Depth().target(frame)[0]
    assert (target[:4].flatten()[1:] == 0).all()
    assert target[0, 0] == 1
    assert target[6, 3:6].isnan().all()
    assert target[11, 19] == 30


def test_a_frame_without_disparity_has_no_depth_labels_at_all_not_even_sky(frame: Frame) -> None:
    assert Depth().target(without(frame, "disparity")).isnan().all()
    alone = Depth().target(without(frame, "semantic", "instance"))
    assert torch.equal(alone.isnan()[0], torch.from_numpy(np.isnan(disparity(frame))))


def test_instance_target_points_at_the_centroid_and_leaves_groups_out(frame: Frame) -> None:
    target = Instance().target(frame)
    assert torch.equal(target[:, 5, 2], torch.tensor([2.5, 1.5]))
    assert target[:, 5:9, 14:18].isnan().all()
    assert target[:, 10].isnan().all()


@pytest.mark.parametrize("task", [Semantic(), Instance(), Depth()])
def test_loss_is_torchs_own_over_labelled_elements(frame: Frame, task: Task) -> None:
    target = torch.stack([task.target(frame), task.target(frame)])
    output = torch.randn(2, task.channels(CITYSCAPES), 12, 20, requires_grad=True)
    total, count = task.loss(output, target)
    if isinstance(task, Semantic):
        expected = F.cross_entropy(output, target.long(), ignore_index=255)
        labelled = (target != 255)[:, None].expand_as(output)
    else:
        # The components of a vector add: the mean runs over pixels.
        labelled = ~target.isnan()
        expected = F.l1_loss(output[labelled], target[labelled]) * task.channels(CITYSCAPES)
    assert (total / count).item() == pytest.approx(expected.item(), rel=1e-5)
    total.backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert not output.grad[~labelled].any()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_regression_averages_the_l1_norm_over_labelled_pixels(channels: int) -> None:
    class Vectors(Depth):
        pass

    Vectors.dimension = channels
    rng = np.random.default_rng(channels)
    output, target = rng.normal(0, 9, (2, 2, channels, 3, 4)).astype(np.float32)
    target[0, :, 1] = np.nan
    target[1, -1, 2, 1] = np.nan  # one channel without a label: the pixel has none
    norms = []
    for b, y, x in np.ndindex(2, 3, 4):
        if not any(np.isnan(target[b, k, y, x]) for k in range(channels)):
            norms.append(sum(abs(float(output[b, k, y, x]) - float(target[b, k, y, x])) for k in range(channels)))
    total, count = Vectors().loss(torch.from_numpy(output), torch.from_numpy(target))
    assert int(count) == len(norms) == 24 - 4 - 1
    assert (total / count).item() == pytest.approx(np.mean(norms), rel=1e-5)
    assert Vectors().likelihood == Laplace(dimension=channels)


def test_the_learned_scale_is_that_of_each_component() -> None:
    """The noise that the instance loss learns has the scale of the components' errors, and covers them."""
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.laplace(0, 3.0, (1, 2, 100, 500)).astype(np.float32))
    output, task = torch.zeros_like(target), Instance()
    weighting = UncertaintyWeighting({"instance": task.likelihood}, closed_form=True)
    weighting({"instance": task.loss(output, target)})
    sigma = weighting.sigma["instance"]
    assert sigma == pytest.approx(3.0, rel=0.01)
    scene = {"instance": task.postprocess(output[0].numpy(), {}, PostprocessContext(sigmas={"instance": sigma}))}
    coverage = IntervalCoverage("instance", lambda frame: target[0].numpy())
    for m in coverage.summarise([coverage.count(scene, frame_of(image=np.zeros((100, 500, 3), np.uint8)))]):
        assert m.value == pytest.approx(int(m.key.rpartition("_")[2]), abs=0.7)


@pytest.mark.parametrize("task", [Semantic(), Instance(), Depth()])
def test_loss_without_labels_is_zero_with_zero_gradients(frame: Frame, task: Task) -> None:
    empty = without(frame, "semantic", "instance", "disparity")
    output = torch.randn(1, task.channels(CITYSCAPES), 12, 20, requires_grad=True)
    total, count = task.loss(output, task.target(empty)[None])
    total.backward()
    assert total.item() == count.item() == 0
    assert output.grad is not None
    assert not output.grad.any()


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        (Semantic(), {"iou_class", "semantic_ece", "semantic_ece_temperature"}),
        (Instance(), {"instance_error_px", "instance_coverage_90", "instance_fitted_coverage_90"}),
        (Depth(), {"disparity_error_px", "depth_rmse_m", "depth_coverage_90", "depth_fitted_coverage_90"}),
    ],
)
def test_a_result_has_what_the_metrics_of_its_task_count(frame: Frame, task: Task, keys: set[str]) -> None:
    context = PostprocessContext(sigmas={task.name: 1.5}, noise_scales={task.name: 2.0})
    output = np.random.default_rng(0).normal(0, 1, (task.channels(frame.labels), 12, 20)).astype(np.float32)
    scene = {task.name: task.postprocess(output, {}, context)}
    counts = [(metric, metric.count(scene, frame)) for metric in task.metrics(frame.labels)]
    found = {m.key: m.value for metric, counted in counts if counted for m in metric.summarise([counted])}
    assert keys <= found.keys()
    assert all(math.isfinite(found[key]) for key in keys)


def test_perfect_predictions_have_no_error(frame: Frame) -> None:
    for task, key, best in (
        (Semantic(), "iou_class", 100),
        (Instance(), "instance_error_px", 0),
        (Depth(), "disparity_rms_px", 0),
    ):
        target = task.target(frame).numpy()
        # Any class will do where there is no label.
        perfect = np.nan_to_num(target) if target.dtype.kind == "f" else np.where(target == 255, 0, target)
        scene = {task.name: task.baseline_result(perfect, frame.labels)}
        metric = task.metrics(frame.labels)[0]
        assert {m.key: m.value for m in metric.summarise([metric.count(scene, frame)])}[key] == best


def test_baselines_against_slow_versions() -> None:
    rng = np.random.default_rng(1)
    classes = rng.choice([0, 1, 2, 255], (5, 4, 6)).astype(np.uint8)
    classes[:, 0, 0] = 255
    majority = Semantic().baseline()
    for target in classes:
        majority.update(target)
    guess = majority.predict()
    assert guess is not None
    overall = np.bincount(classes[classes != 255]).argmax()
    for y, x in np.ndindex(4, 6):
        votes = classes[:, y, x][classes[:, y, x] != 255]
        assert guess[y, x] == (np.bincount(votes).argmax() if len(votes) else overall)

    disparity = rng.uniform(0, 9, (5, 1, 4, 6)).astype(np.float32)
    disparity[:, :, 1, ::2] = np.nan
    rows = Depth().baseline()
    for target in disparity:
        rows.update(target)
    guess = rows.predict()
    assert guess is not None
    for y in range(4):
        np.testing.assert_allclose(guess[0, y], np.nanmean(disparity[:, 0, y]), rtol=1e-6)
    wide = rows.resize(guess, 8, 12)
    np.testing.assert_allclose(wide[0, ::2, 0], 2 * guess[0, :, 0])
    three = RowMean(in_pixels=False)
    for target in disparity:
        three.update(np.concatenate([target, -target, target + 1]))
    means = three.predict()
    assert means is not None
    np.testing.assert_allclose(means, np.concatenate([guess, -guess, guess + 1]), rtol=1e-6)
    np.testing.assert_array_equal(three.resize(means, 8, 12)[:, ::2, ::2], means)

    zeros = Instance().baseline()
    assert zeros.predict() is None
    zeros.update(np.ones((2, 4, 6)))
    assert not zeros.predict().any()  # type: ignore[union-attr]


@pytest.mark.parametrize("task", [Semantic(), Instance(), Depth()])
def test_a_baseline_without_labels_has_no_guess(frame: Frame, task: Task) -> None:
    predictor = task.baseline()
    predictor.update(task.target(without(frame, "semantic", "instance", "disparity")).numpy())
    assert predictor.predict() is None


def test_pictures_show_prediction_and_truth(frame: Frame) -> None:
    tasks = load_tasks(["semantic", "instance", "depth"])
    outputs = {task.name: task.target(frame).nan_to_num().numpy() for task in tasks}
    one_hot = F.one_hot(torch.from_numpy(outputs["semantic"]).long().clamp(max=18), 19)
    outputs["semantic"] = 50.0 * one_hot.permute(2, 0, 1).float().numpy()
    results = postprocess(tasks, outputs, PostprocessContext())
    pictures = {p.title: p for task in tasks for p in task.visualize(frame, results)}
    assert list(pictures) == ["Semantic segmentation", "Instance vectors", "Instances", "Depth"]
    for picture in pictures.values():
        assert picture.prediction is not None
        assert picture.truth is not None
        assert picture.prediction.shape == picture.truth.shape == (12, 20, 3)
    semantic = pictures["Semantic segmentation"]
    labelled = class_ids(frame) != ID["static"]
    assert np.array_equal(semantic.prediction[labelled], semantic.truth[labelled])  # type: ignore[index]
    assert tuple(semantic.truth[6, 3]) == (0, 0, 142)  # type: ignore[index]
    unlabelled = without(frame, "semantic", "instance", "disparity")
    assert all(p.truth is None for task in tasks for p in task.visualize(unlabelled, results))
    alone = Instance().visualize(frame, {"instance": results["instance"]})
    assert [p.title for p in alone] == ["Instance vectors"]


def rider_on_a_bicycle(votes: str) -> tuple[InstanceResult, Picture]:
    """Instances and their picture where two classes vote for one centre: a rider and the bicycle under it."""
    semantic = np.full((64, 64), 0)
    semantic[20:32, 20:44], semantic[32:44, 20:44] = 12, 18
    y, x = np.mgrid[:64, :64].astype(np.float32)
    vectors = np.stack((31.5 - x, 31.5 - y))
    logits = torch.full((19, 64, 64), -9.0).scatter(0, torch.from_numpy(semantic)[None], 9.0).numpy()
    task = Instance(votes)  # type: ignore[arg-type]
    # In this order the instances are found after the classes that they use.
    results = postprocess([task, Semantic()], {"semantic": logits, "instance": vectors}, PostprocessContext())
    assert list(results) == ["instance", "semantic"]
    blank = frame_of(image=np.zeros((64, 64, 3), np.uint8))
    return results["instance"], task.visualize(blank, results)[1]  # type: ignore[return-value]


def test_votes_choose_how_instances_are_found_in_scenes_and_pictures() -> None:
    """Ours clusters each class by itself; the paper's way clusters all pixels of things together."""
    apart, coloured_apart = rider_on_a_bicycle("default")
    assert [instance.class_id for instance in apart] == [ID["rider"], ID["bicycle"]]
    (together,), coloured_together = rider_on_a_bicycle("paper")
    assert together.mask.sum() == 24 * 24
    for picture, objects in ((coloured_apart, 2), (coloured_together, 1)):
        assert len(np.unique(picture.prediction.reshape(-1, 3), axis=0)) == 1 + objects


def test_vector_colours_are_orientation_and_magnitude() -> None:
    vectors = np.zeros((2, 1, 4), np.float32)
    vectors[:, 0, 0], vectors[:, 0, 1], vectors[:, 0, 2] = (10, 0), (-10, 0), (2, 0)
    vectors[:, 0, 3] = np.nan
    right, left, short, none = colour_vectors(vectors, 10.0)[0].astype(int)
    assert tuple(right) == (255, 0, 0)
    assert tuple(left) == (0, 255, 255)
    assert 0 < short[0] < right[0]
    assert not none.any()


def test_a_fourth_task_is_one_class() -> None:
    (task,) = load_tasks(["multisigma.tasks.depth.Depth"])
    assert task.name == "depth"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "at least one task"),
        (["semantics"], "'semantics'"),
        (["depth", "depth"], "once"),
        (["nowhere.module.Task"], "cannot be imported"),
        (["multisigma.tasks.depth.nothing"], "cannot be imported"),
        (["multisigma.tasks.depth.Frame"], r"derived from multisigma\.tasks\.Task\. Found"),
        (["multisigma.tasks.RegressionTask"], "define all that .* Found no target"),
    ],
)
def test_task_names_errors(names: list[str], words: str) -> None:
    with pytest.raises(MultisigmaError, match=words):
        load_tasks(names)


def test_options_reach_a_task_and_wrong_ones_are_named() -> None:
    depth, instance = load_tasks(
        ["depth", "instance"], {"depth": {"likelihood": "gaussian"}, "instance": {"votes": "paper"}}
    )
    assert depth.likelihood == Gaussian(dimension=1)
    assert instance.likelihood == Laplace(dimension=2)
    assert isinstance(instance, Instance)
    assert instance.votes == "paper"
    for options, words in (
        (
            {"depth": {"likelihood": "cauchy"}},
            r"task\.depth\.likelihood must be of type .*laplace.*\. Found 'cauchy'",
        ),
        ({"depth": {"noise": 1}}, r"--task\.depth\.noise must be an option of the task depth, which has likelihood"),
        ({"normals": {}}, r"--task\.normals must belong to one of the tasks depth, instance"),
    ):
        with pytest.raises(MultisigmaError, match=words):
            load_tasks(["depth", "instance"], options)


def test_a_gaussian_regression_against_plain_numpy() -> None:
    rng = np.random.default_rng(0)
    output, target = rng.normal(0, 3, (2, 1, 2, 40, 50)).astype(np.float32)
    target[0, 1, :7] = np.nan
    task = Instance(likelihood="gaussian")
    total, count = task.loss(torch.from_numpy(output), torch.from_numpy(target))
    squares = ((output - target) ** 2).sum(1)[0, 7:].astype(np.float64)
    assert int(count) == 33 * 50
    assert (total / count).item() == pytest.approx(squares.mean(), rel=1e-5)
    # The scale of one component.
    assert task.noise_scale(squares.mean()) == pytest.approx(math.sqrt(squares.mean() / 2))
    weighting = UncertaintyWeighting({"instance": task.likelihood}, closed_form=True)
    weighting({"instance": (total, count)})
    assert weighting.sigma["instance"] == pytest.approx(math.sqrt(squares.mean() / 2), rel=1e-5)


def test_four_methods_make_a_task(frame: Frame) -> None:
    class Brightness(Task):
        name, likelihood = "brightness", Laplace()

        def channels(self, labels: LabelSpace) -> int:
            return 1

        def target(self, frame: Frame) -> torch.Tensor:
            return torch.from_numpy(frame.image.mean(2, dtype=np.float32))[None]

        def loss(self, output: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return (output - target).abs().sum(), torch.tensor(target.numel())

    task = Brightness()
    results = postprocess([task], {"brightness": task.target(frame).numpy()}, PostprocessContext())
    np.testing.assert_allclose(results["brightness"].arrays()["values"], task.target(frame))
    assert task.baseline() is None
    assert task.visualize(frame, results) == task.metrics(CITYSCAPES) == []
