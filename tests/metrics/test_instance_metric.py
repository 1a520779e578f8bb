"""AP against a slow obvious version of the rules, with distances known from the generator too."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from multisigma.datasets.frame import Camera, Frame
from multisigma.datasets.label_space import CITYSCAPES, Label, LabelSpace
from multisigma.datasets.labels import LABELS
from multisigma.datasets.scene import SceneInstance, cut_instances
from multisigma.errors import MultisigmaError
from multisigma.metrics import AveragePrecision
from multisigma.metrics.instance import average_precision
from multisigma.synthetic import StreetSettings, make_frame
from tests.frames import disparity as disparity_of
from tests.frames import frame_of, instance_ids, without
from tests.scenes import Scene, numbers, scene_of

Case = list[tuple[Scene, Frame]]
VOID = [label.id for label in LABELS if label.ignore_in_eval]


def obvious(case: Case, least: int, farthest: float, density: float) -> float:
    """The rules once more, with whole masks and no arithmetic shared with the product."""
    scores = []
    for label in CITYSCAPES.instance_classes:
        for threshold in np.arange(0.5, 1.0, 0.05):
            entries: list[tuple[float, bool]] = []
            total = 0
            for scene, truth in case:
                objects = []  # mask, counts, group, of each true region of the class
                for i in np.unique(instance_ids(truth)):
                    if (i if i < 1000 else i // 1000) != label.id:
                        continue
                    mask = instance_ids(truth) == i
                    valid = mask & ~np.isnan(disparity_of(truth))
                    share = valid.sum() / mask.sum()
                    metres = np.median(
                        truth.camera.baseline * truth.camera.fx / disparity_of(truth)[valid].astype(float)
                    )
                    large_and_near = mask.sum() >= least and (metres if share else inf) <= farthest and share >= density
                    objects.append((mask, large_and_near, i < 1000))
                total += sum(counts and not group for _, counts, group in objects)
                void = np.isin(instance_ids(truth), VOID)
                taken: dict[int, list[float]] = {}
                for p in scene["instance"].regions:
                    mask = np.zeros(instance_ids(truth).shape, bool)
                    mask[p.top : p.top + p.mask.shape[0], p.left : p.left + p.mask.shape[1]] = p.mask
                    if p.class_id != label.id or not mask.any():
                        continue
                    hits = [k for k, (m, *_) in enumerate(objects) if (m & mask).sum() / (m | mask).sum() > threshold]
                    if hits:
                        _, counts, group = objects[hits[0]]
                        if counts and not group:
                            taken.setdefault(hits[0], []).append(p.confidence)
                        continue
                    ignored = (mask & void).sum()
                    for m, counts, group in objects:
                        ignored += (m & mask).sum() * (int(group) + int(not counts))
                    if ignored / mask.sum() <= threshold:
                        entries.append((p.confidence, False))
                for found in taken.values():
                    found.sort()
                    entries += [(found[-1], True), *((c, False) for c in found[:-1])]
            if total:
                scores.append(area(entries, total))
    return float(np.mean(scores)) if scores else nan


def area(entries: list[tuple[float, bool]], total: int) -> float:
    points = [(0.0, 1.0)]
    for threshold in sorted({c for c, _ in entries}, reverse=True):
        kept = [right for c, right in entries if c >= threshold]
        points.append((sum(kept) / total, sum(kept) / len(kept)))
    if len(points) == 1:
        return 0.0
    recalls = [0.0, *(r for r, _ in points), points[-1][0]]
    return sum(p * (recalls[k + 2] - recalls[k]) / 2 for k, (_, p) in enumerate(points))


def counted(case: Case) -> dict[str, Any]:
    return numbers(AveragePrecision(CITYSCAPES), case)


@pytest.mark.parametrize("seed", [100, 102, 103])
def test_equals_the_obvious_version(make_case: Any, kinds: tuple[str, ...], seed: int) -> None:
    case = make_case(seed, [*kinds, "perfect", "noisy", "shifted", *kinds])
    result = counted(case)
    for key, rule in (("ap", (100, inf, -inf)), ("ap100m", (1000, 100, 0.5)), ("ap50m", (1000, 50, 0.5))):
        assert result[key] == pytest.approx(obvious(case, *rule), abs=1e-12, nan_ok=True), key
    assert len({0.0, result["ap"], result["ap100m"], result["ap50m"]}) == 4


def test_distances_of_generated_scenes(make_case: Any) -> None:
    """AP100m and AP50m on street scenes whose exact disparity is known."""
    case = []
    rng = np.random.default_rng(0)
    for index in range(3):
        frame = make_frame(StreetSettings(256, 512, seed=1, matching=False), "val", index)
        disparity = np.where(rng.random(frame.labels.shape) < 0.3, np.nan, frame.exact_disparity)
        truth = frame_of(f"f{index}", None, frame.labels, frame.instances, disparity.astype(np.float32), frame.camera)
        ids = [i for i in np.unique(frame.instances) if i >= 1000]
        rolled = np.roll(np.searchsorted(ids, frame.instances) * np.isin(frame.instances, ids), 1, 1)
        place = np.where(np.roll(np.isin(frame.instances, ids), 1, 1), rolled + 1, 0)
        case.append((scene_of(regions=cut_instances(place, [i // 1000 for i in ids], rng.random(len(ids)))), truth))
    result = counted(case)
    for key, farthest in (("ap100m", 100), ("ap50m", 50)):
        assert result[key] == pytest.approx(obvious(case, 1000, farthest, 0.5), abs=1e-12)
    # The same scene five times as far away, by a camera of five times the focal length: fewer objects are near.
    far = [(scene, replace(truth, camera=replace(truth.camera, fx=5 * truth.camera.fx))) for scene, truth in case]
    metric = AveragePrecision(CITYSCAPES)
    near = [[metric.count(scene, truth)["truths"][2].sum() for scene, truth in of] for of in (far, case)]
    assert sum(near[0]) < sum(near[1])
    assert counted(far)["ap50m"] == pytest.approx(obvious(far, 1000, 50, 0.5), abs=1e-12)


def test_a_median_of_half_the_pixels_decides() -> None:
    """An object of 1200 px at exactly 40 m, then at 60 m, then with fewer than half of its pixels valid."""
    camera = Camera(0.2, 1000.0, 1000.0, 0.0, 0.0)
    instances = np.full((40, 60), 7, np.int32)
    instances[5:25, :] = 26001
    scene = scene_of(regions=[SceneInstance(26, 1.0, 5, 0, np.ones((20, 60), bool))])

    def scores(metres: float, valid: int) -> tuple[float, float]:
        disparity = np.full(instances.shape, np.nan, np.float32)
        disparity[5 : 5 + valid] = 200 / metres
        result = counted([(scene, frame_of("f", None, None, instances, disparity, camera))])
        return result["ap100m"], result["ap50m"]

    assert scores(40, 20) == (1, 1)
    assert scores(60, 20) == (1, pytest.approx(nan, nan_ok=True))
    assert scores(40, 10) == (1, 1)
    assert all(isnan(score) for score in (*scores(40, 9), *scores(110, 20)))


def test_without_disparity_nothing_is_near(make_case: Any) -> None:
    case = [(scene, without(truth, "disparity")) for scene, truth in make_case(0, ["perfect"] * 4)]
    result = counted(case)
    assert result["ap"] == 1
    assert isnan(result["ap100m"])


def area_of(confidences: np.ndarray, right: np.ndarray, truths: int) -> float:
    """The area under one curve, each prediction once."""
    frames = np.zeros(len(confidences), np.int64)
    return float(average_precision(confidences, right, frames, np.array([float(truths)]), np.ones((1, 1)))[0])


@given(entries=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12), missed=st.integers(0, 3))
def test_the_curve_has_the_points_of_scikit_learn(entries: list[tuple[int, bool]], missed: int) -> None:
    scores, right = np.array([s for s, _ in entries], float), np.array([r for _, r in entries])
    total = int(right.sum()) + missed
    if not right.any():
        assert area_of(scores, right, max(total, 1)) == 0
        return
    precision, recall, _ = precision_recall_curve(right, scores)
    recall = recall * right.sum() / total
    widths = (np.r_[recall[0], recall[:-1]] - np.r_[recall[1:], 0.0]) / 2
    assert area_of(scores, right, total) == pytest.approx(float(precision @ widths))


def test_the_first_object_of_class_one_has_the_id_1000() -> None:
    box = Label("box", 1, 0, "box", 0, True, False, (1, 0, 0))
    labels = LabelSpace("boxes", (box,))
    ids = np.zeros((30, 40), np.int32)
    ids[5:25, 5:20] = 1000
    found = SceneInstance(1, 1.0, 5, 5, np.ones((20, 15), bool))
    frame = replace(frame_of("f", None, np.where(ids > 0, 1, 0).astype(np.uint8), instances=ids), labels=labels)
    assert numbers(AveragePrecision(labels), [(scene_of(regions=[found]), frame)])["ap"] == 1.0


def test_bad_input_is_named(make_case: Callable[..., Case]) -> None:
    ((_, truth),) = make_case(0, ["perfect"])
    mask = np.ones((3, 3), bool)
    for instance, words in (
        (SceneInstance(26, 1.0, 70, 0, mask), r"3x3 at row 70, column 0"),
        (SceneInstance(26, 1.0, 0, -1, mask), "column -1"),
        (SceneInstance(26, 1.0, -1, 2, mask), "row -1"),
        (SceneInstance(26, 1.0, -5, 0, mask), "row -5"),
        (SceneInstance(26, nan, 0, 0, mask), "finite"),
    ):
        with pytest.raises(MultisigmaError, match=words):
            AveragePrecision(CITYSCAPES).count(scene_of(regions=[instance]), truth)
