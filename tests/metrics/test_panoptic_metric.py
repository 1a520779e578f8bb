"""Panoptic quality by hand; `test_official_scripts` holds it against the official script."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from multisigma.datasets.frame import Frame
from multisigma.datasets.label_space import CITYSCAPES, LabelSpace
from multisigma.datasets.labels import Label
from multisigma.datasets.scene import SceneInstance
from multisigma.metrics import PanopticQuality
from multisigma.metrics.panoptic import panoptic_map
from tests.frames import class_ids, frame_of, instance_ids
from tests.scenes import numbers, scene_of


def truth_of(instances: np.ndarray) -> Frame:
    return frame_of("f", None, np.where(instances < 1000, instances, instances // 1000).astype(np.uint8), instances)


def test_by_hand() -> None:
    """Road with a car of 12 px, found with 9 of them and 1 beside; a second car missed; a person where none is."""
    instances = np.full((6, 10), 7, np.int32)
    instances[:3, :4] = 26001
    instances[:2, 8:] = 26002
    car, person = np.zeros((3, 4), bool), np.ones((2, 2), bool)
    car[:, :3] = True
    car = np.pad(car, ((0, 1), (0, 0)))
    car[3, 0] = True
    scene = scene_of(
        np.full((6, 10), 7, np.uint8), [SceneInstance(26, 0.9, 0, 0, car), SceneInstance(24, 0.5, 4, 0, person)]
    )
    result = numbers(PanopticQuality(CITYSCAPES), [(scene, truth_of(instances))])
    car_overlap = 9 / 13
    road_overlap = (44 - 1 - 4) / (44 + 3 + 4)  # less what the objects cover; more where cars are not found
    assert result["pq_per_class"]["car"] == pytest.approx(car_overlap * 1 / (1 + 0.5))
    assert result["pq_per_class"]["person"] == 0
    assert result["pq_per_class"]["road"] == pytest.approx(road_overlap)
    assert result["pq"] == pytest.approx((car_overlap / 1.5 + 0 + road_overlap) / 3)
    assert result["pq_things"] == pytest.approx(car_overlap / 1.5 / 2)
    assert result["sq_things"] == pytest.approx(car_overlap / 2)
    assert result["rq_things"] == pytest.approx(1 / 1.5 / 2)
    assert isnan(result["pq_per_class"]["sky"])


def test_pixels_that_are_not_evaluated_count_for_nobody() -> None:
    instances = np.full((4, 8), 7, np.int32)
    instances[0, :4], instances[0, 4:] = 26001, 0  # a car, and pixels without a label beside it
    car = SceneInstance(26, 0.9, 0, 0, np.ones((1, 8), bool))
    lost = SceneInstance(24, 0.9, 0, 4, np.ones((1, 4), bool))
    for objects in ([car], [SceneInstance(26, 0.9, 0, 0, np.ones((1, 4), bool)), lost]):
        scene = scene_of(np.full((4, 8), 7, np.uint8), objects)
        per_class = numbers(PanopticQuality(CITYSCAPES), [(scene, truth_of(instances))])["pq_per_class"]
        assert per_class["car"] == per_class["road"] == 1
        assert isnan(per_class["person"])


@pytest.mark.parametrize(("found", "quality"), [(4, 0.0), (5, 5 / 8)])
def test_an_overlap_of_one_half_is_no_match(found: int, quality: float) -> None:
    """Panoptic segmentation (Kirillov et al., 2019) matches above one half."""
    instances = np.full((4, 8), 7, np.int32)
    instances[0] = 26001
    scene = scene_of(np.full((4, 8), 7, np.uint8), [SceneInstance(26, 0.9, 0, 0, np.ones((1, found), bool))])
    result = numbers(PanopticQuality(CITYSCAPES), [(scene, truth_of(instances))])
    assert result["pq_per_class"]["car"] == pytest.approx(quality)


def test_the_surest_object_has_the_pixel() -> None:
    labels = np.array([[7, 26, 0, 9]], np.uint8)  # a thing without an object, and labels that evaluation ignores
    objects = [
        SceneInstance(26, 0.5, 0, 0, np.array([[True, True]])),
        SceneInstance(24, 0.9, 0, 1, np.array([[True]])),
        SceneInstance(25, 0.9, 0, 1, np.array([[True]])),
    ]
    segments, classes = panoptic_map(labels, objects, CITYSCAPES)
    assert [int(c) if s else 0 for s, c in zip(segments[0], classes[segments[0]], strict=True)] == [26, 24, 0, 0]
    segments, classes = panoptic_map(labels, [], CITYSCAPES)
    assert classes[segments].tolist() == [[7, -1, -1, -1]]
    assert segments.tolist()[0][1:] == [0, 0, 0]


def test_a_perfect_scene_has_quality_one(make_case) -> None:  # type: ignore[no-untyped-def]
    case = []
    for scene, truth in make_case(3, ["perfect"] * 6):
        # Without the pixels of groups, which nothing predicts; thing classes without an object are void to both.
        ids = np.where(instance_ids(truth) < 24, class_ids(truth), 0).astype(np.uint8)
        case.append((scene_of(ids, scene["instance"].regions), truth))
    result = numbers(PanopticQuality(CITYSCAPES), case)
    assert result["pq"] == result["sq"] == result["rq"] == 1


def test_a_class_of_id_zero_counts_like_any_other() -> None:
    ground = Label("ground", 0, 0, "ground", 0, False, False, (0, 0, 0))
    labels = LabelSpace("two", (ground, Label("box", 1, 1, "box", 1, True, False, (1, 0, 0))))
    instances = np.zeros((4, 6), np.int32)
    instances[:2, :2] = 1000  # the first object of class 1
    box = SceneInstance(1, 0.9, 0, 0, np.ones((2, 2), bool))
    frame = replace(truth_of(instances), labels=labels)
    result = numbers(PanopticQuality(labels), [(scene_of(np.zeros((4, 6), np.uint8), [box]), frame)])
    assert result["pq_per_class"] == {"ground": 1.0, "box": 1.0}
