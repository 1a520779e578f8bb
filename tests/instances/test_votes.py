"""`instances_from_votes` on scenes whose instances are known."""

import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import OPTICS, cluster_optics_dbscan

from multisigma.errors import MultisigmaError
from multisigma.instances import Instances, VoteSettings, instances_from_votes
from multisigma.instances.votes import Assignment

ROAD, PERSON, CAR = 0, 11, 13
Scene = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def scene(boxes: list[tuple[int, int, int, int, int]], poles: list[tuple[int, int]], size: tuple[int, int]) -> Scene:
    """Draw boxes (class, x0, y0, x1, y1) back to front, then vertical poles (x0, x1) of class 0 in front.

    Return the exact vectors, the semantic map and the instance ids. A box's centroid is that of the whole box, its
    occluded part included.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    vectors = np.full((2, height, width), np.nan, dtype=np.float32)
    semantic, ids = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for number, (label, x0, y0, x1, y1) in enumerate(boxes, start=1):
        inside = (slice(y0, y1), slice(x0, x1))
        semantic[inside], ids[inside] = label, number
        vectors[0][inside] = (x0 + x1 - 1) / 2 - x[inside]
        vectors[1][inside] = (y0 + y1 - 1) / 2 - y[inside]
    for x0, x1 in poles:
        semantic[:, x0:x1], ids[:, x0:x1], vectors[:, :, x0:x1] = ROAD, 0, np.nan
    return vectors, semantic, ids


def assert_same_instances(found: NDArray[np.integer], true: NDArray[np.integer]) -> None:
    """Assert that two maps are equal except for the numbering of their instances."""
    pairs = set(zip(found.ravel().tolist(), true.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert all((a == 0) == (b == 0) for a, b in pairs)


def street() -> Scene:
    return scene(
        [(CAR, 10, 40, 90, 80), (CAR, 70, 50, 150, 100), (PERSON, 100, 30, 115, 75), (PERSON, 160, 30, 172, 70)],
        [(40, 46), (120, 124)],
        (110, 180),
    )


def test_exact_votes_give_the_true_instances_split_or_not() -> None:
    vectors, semantic, ids = street()
    found = instances_from_votes(vectors, semantic, (PERSON, CAR))
    assert_same_instances(found.ids, ids)
    assert sorted(found.class_ids.tolist()) == [PERSON, PERSON, CAR, CAR]
    assert {tuple(centre) for centre in found.centres.tolist()} == {
        (49.5, 59.5),
        (109.5, 74.5),
        (107.0, 52.0),
        (165.5, 49.5),
    }


def test_a_car_behind_two_poles_and_a_tree_stays_one() -> None:
    # Figure 4: three occluders leave four parts, and none of them contains the column of the centroid.
    vectors, semantic, ids = scene([(CAR, 20, 20, 140, 60)], [(40, 44), (70, 90), (120, 124)], (80, 160))
    assert len(np.unique(np.flatnonzero(np.diff((ids == 1).any(axis=0).astype(int))))) == 8
    found = instances_from_votes(vectors, semantic, (CAR,))
    assert_same_instances(found.ids, ids)
    assert len(found.class_ids) == 1


def test_noisy_votes_give_nearly_the_true_instances() -> None:
    vectors, semantic, ids = street()
    noisy = vectors + np.random.default_rng(0).normal(0, 2, vectors.shape).astype(np.float32)
    found = instances_from_votes(noisy, semantic, (PERSON, CAR))
    assert len(found.class_ids) == 4
    for number in range(1, 5):
        mask = ids == number
        overlaps = [(mask & (found.ids == other)).sum() / (mask | (found.ids == other)).sum() for other in range(1, 5)]
        assert max(overlaps) > 0.98


def test_noise_votes_go_to_the_nearest_centre_of_their_class() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 20, 20), (CAR, 60, 0, 80, 20), (PERSON, 30, 0, 40, 20)], [], (20, 80))
    vectors[:, 5, 3] = (30.0, 5.0)  # votes for (33, 10): nearest to the person, but the left car is the nearer car
    chosen = VoteSettings(max_eps=15, assignment="nearest")
    found = instances_from_votes(vectors, semantic, (PERSON, CAR), settings=chosen)
    assert found.ids[5, 3] == found.ids[0, 0]


def test_result_is_consistent_and_deterministic() -> None:
    vectors, semantic, _ = street()
    vectors += np.random.default_rng(1).normal(0, 4, vectors.shape).astype(np.float32)
    each_vote = VoteSettings(grid=0, min_samples=20, min_pixels=30, assignment="nearest")
    one, two = (instances_from_votes(vectors, semantic, (CAR, PERSON), settings=each_vote) for _ in range(2))
    assert len(one.class_ids) >= 4
    assert all(np.array_equal(getattr(one, field), getattr(two, field)) for field in Instances.__slots__)
    assert one.ids.dtype == np.int32
    assert one.centres.shape == (len(one.class_ids), 2)
    for index, (label, pixels) in enumerate(zip(one.class_ids, one.pixels, strict=True), start=1):
        assert set(semantic[one.ids == index]) == {label}
        assert (one.ids == index).sum() == pixels >= each_vote.min_pixels
    # Every pixel is assigned to the centre of its class that is nearest to its vote.
    for y, x in itertools.product(range(0, 110, 7), range(0, 180, 7)):
        if semantic[y, x] != ROAD:
            distance = np.hypot(*(one.centres - (x, y) - vectors[:, y, x]).T)
            distance[one.class_ids != semantic[y, x]] = np.inf
            assert one.ids[y, x] == distance.argmin() + 1


@given(
    cars=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=8, unique=True),
    pole=st.integers(0, 110),
)
@settings(max_examples=8, deadline=None)
def test_exact_votes_of_any_arrangement(cars: list[tuple[int, int]], pole: int) -> None:
    boxes = [(CAR, 20 * column, 20 * row, 20 * column + 18, 20 * row + 18) for column, row in cars]
    vectors, semantic, ids = scene(boxes, [(pole, pole + 4)], (60, 120))
    found = instances_from_votes(vectors, semantic, (CAR,), settings=VoteSettings(min_samples=50))
    assert_same_instances(found.ids, ids)


@pytest.mark.parametrize(("assignment", "pixels"), [("nearest", 620), ("near", 600)])
def test_pixels_of_removed_instances_are_assigned_again(assignment: Assignment, pixels: int) -> None:
    vectors, semantic, ids = scene([(CAR, 0, 0, 30, 20), (CAR, 50, 0, 55, 4), (PERSON, 60, 0, 64, 3)], [], (20, 70))
    chosen = VoteSettings(min_samples=10, min_pixels=21, assignment=assignment)
    found = instances_from_votes(vectors, semantic, (CAR, PERSON), settings=chosen)
    assert found.class_ids.tolist() == [CAR]
    assert found.pixels.tolist() == [pixels]
    kept = instances_from_votes(vectors, semantic, (CAR, PERSON), settings=VoteSettings(min_samples=10, min_pixels=12))
    assert_same_instances(kept.ids, ids)


@given(
    widths=st.lists(st.tuples(st.integers(30, 50), st.integers(3, 12)), min_size=2, max_size=4),
    offsets=st.lists(st.tuples(st.integers(-9, 9), st.integers(-60, 60)), min_size=4, max_size=4),
)
@settings(max_examples=20, deadline=None)
def test_strips_by_definition(widths: list[tuple[int, int]], offsets: list[tuple[int, int]]) -> None:
    # Cars in a row. The last columns of each vote for a point of their own, shifted from their own centroid.
    height, width = 60, sum(one + strip for one, strip in widths)
    y, x = np.mgrid[:height, :width]
    vectors, left = np.zeros((2, height, width)), 0
    for (one, strip), (right, down) in zip(widths, offsets, strict=False):
        for begin, end, shift in ((left, left + one, (0, 0)), (left + one, left + one + strip, (right, down))):
            inside = (x >= begin) & (x < end)
            vectors[:, inside] = np.stack((x[inside].mean() + shift[0] - x[inside], 29.5 + shift[1] - y[inside]))
        left += one + strip
    semantic = np.full((height, width), CAR)
    kept = VoteSettings(small=False, drop_strips=False, assignment="clusters")
    before = instances_from_votes(vectors, semantic, (CAR,), settings=kept)
    after = instances_from_votes(vectors, semantic, (CAR,), settings=replace(kept, drop_strips=True))
    is_strip = []
    for number in range(1, len(before.class_ids) + 1):
        mask = before.ids == number
        imbalance = np.hypot(*vectors[:, mask].sum(axis=1)) / np.hypot(*vectors[:, mask]).sum()
        around = [np.roll(np.pad(before.ids, 1), shift, axis)[1:-1, 1:-1][mask] for shift in (-1, 1) for axis in (0, 1)]
        sides = np.concatenate(around)
        sides = sides[sides != number]
        is_strip.append(imbalance > 0.35 and (sides > 0).mean() > 0.8)
    np.testing.assert_array_equal(after.centres, before.centres[~np.array(is_strip)])


def test_the_border_between_two_cars_is_no_third_car() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 40, 60), (CAR, 44, 0, 84, 60)], [], (80, 84))
    semantic[:60, 40:44] = CAR
    y, x = np.mgrid[:60, 40:44]
    vectors[:, :60, 40:44] = np.stack((42 - x, 60 - y))
    assert len(instances_from_votes(vectors, semantic, (CAR,), settings=VoteSettings(drop_strips=False)).pixels) == 3
    assert len(instances_from_votes(vectors, semantic, (CAR,)).pixels) == 2


def test_half_an_object_stays_an_instance() -> None:
    # The semantic map has another class at its right half, so that its vectors all point to the right.
    vectors, semantic, _ = scene([(CAR, 0, 0, 60, 30)], [], (30, 60))
    semantic[:, 30:] = ROAD
    assert instances_from_votes(vectors, semantic, (CAR,)).pixels.tolist() == [900]


def test_an_instance_smaller_than_min_samples_is_found() -> None:
    vectors, semantic, ids = scene([(CAR, 0, 0, 60, 60), (CAR, 90, 0, 98, 5)], [], (60, 100))
    assert_same_instances(instances_from_votes(vectors, semantic, (CAR,), settings=VoteSettings()).ids, ids)
    for chosen in (VoteSettings(small=False), VoteSettings(min_pixels=41)):
        assert instances_from_votes(vectors, semantic, (CAR,), settings=chosen).pixels.tolist() == [3600]


def test_a_few_pixels_inside_of_an_instance_are_none() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 60, 60)], [], (60, 60))
    y, x = np.mgrid[4:9, 4:9]
    vectors[:, 4:9, 4:9] = np.stack((6 - x, 6 - y))
    assert instances_from_votes(vectors, semantic, (CAR,), settings=VoteSettings()).pixels.tolist() == [3575]


def test_scattered_votes_give_no_instance() -> None:
    y, x = np.mgrid[:20, :20]
    vectors = np.stack((x, y)) * 99.0
    found = instances_from_votes(vectors, np.full((20, 20), CAR), (CAR,))
    assert not found.ids.any()


@pytest.mark.parametrize("pixels", [0, 1])
def test_frames_without_enough_votes_have_no_instances(pixels: int) -> None:
    semantic = np.zeros((4, 5), dtype=np.uint8)
    semantic.ravel()[:pixels] = CAR
    found = instances_from_votes(np.zeros((2, 4, 5), dtype=np.float32), semantic, (CAR,))
    assert not found.ids.any()
    assert found.class_ids.shape == found.pixels.shape == (0,)
    assert found.centres.shape == (0, 2)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 5, 4)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MultisigmaError, match=r"\(2, H, W\).*\(4, 5\)"):
        instances_from_votes(np.zeros(shape), np.zeros((4, 5), dtype=np.uint8), (CAR,))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_vectors_that_are_not_finite_are_refused(value: float) -> None:
    vectors = np.zeros((2, 4, 5))
    vectors[1, 2, 3] = value
    with pytest.raises(MultisigmaError, match="1 of 20 pixels of class 13"):
        instances_from_votes(vectors, np.full((4, 5), CAR), (CAR,))


@pytest.mark.parametrize(
    "setting",
    [
        {"min_samples": 1},
        {"cut": 0.0},
        {"min_pixels": 0},
        {"grid": -1.0},
        {"grid": float("inf")},
        {"max_eps": 0.0},
        {"contrast": 1.5},
        {"slope": 0.0},
        {"xi": 1.0},
        {"extraction": "leaf"},
        {"assignment": "first"},
    ],
)
def test_invalid_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(MultisigmaError, match=f"`{next(iter(setting))}`.*Found '?{next(iter(setting.values()))}"):
        VoteSettings(**setting)


def test_xi_with_pooled_votes_is_refused() -> None:
    with pytest.raises(MultisigmaError, match=r"`grid` must be 0 with the extraction 'xi'.*Found 1.0. Set it to 0"):
        VoteSettings(extraction="xi")


def noisy_street(seed: int = 0) -> Scene:
    vectors, semantic, ids = street()
    lengths = np.hypot(*np.nan_to_num(vectors))
    error = np.random.default_rng(seed).normal(0, 1, vectors.shape) * (0.08 * lengths + 0.3)
    return (vectors + error).astype(np.float32), semantic, ids


def test_every_extraction_finds_the_street() -> None:
    vectors, semantic, ids = noisy_street()
    for chosen in (
        VoteSettings(),
        VoteSettings(grid=2),
        VoteSettings(grid=0),
        VoteSettings(extraction="cut", cut=2.0, min_samples=50),
        VoteSettings(extraction="xi", grid=0, xi=0.2, min_samples=50),
    ):
        found = instances_from_votes(vectors, semantic, (PERSON, CAR), settings=chosen)
        assert len(found.class_ids) == 4, chosen
        assert all(max((found.ids[ids == k] == other).mean() for other in range(1, 5)) > 0.98 for k in range(1, 5)), (
            chosen
        )


def test_pooling_hardly_changes_the_instances() -> None:
    vectors, semantic, _ = noisy_street(1)
    pooled, exact = (
        instances_from_votes(vectors, semantic, (PERSON, CAR), settings=VoteSettings(grid=grid)).ids for grid in (1, 0)
    )
    assert (pooled == exact).mean() > 0.998


def two_cars_and_a_stray() -> Scene:
    """Two cars. Two rows of the left one vote for points 18 px and 60 px to the right of the right one's centre."""
    vectors, semantic, ids = scene([(CAR, 0, 0, 40, 30), (CAR, 100, 0, 140, 30)], [], (30, 220))
    vectors[:, 3, :40] = np.array([137.5, 14.5])[:, None] - np.stack((np.arange(40), np.full(40, 3)))
    vectors[:, 4, :40] = np.array([179.5, 14.5])[:, None] - np.stack((np.arange(40), np.full(40, 4)))
    return vectors, semantic, ids


@pytest.mark.parametrize(
    ("assignment", "at_18", "at_60"), [("nearest", 2, 2), ("noise", 2, 2), ("near", 2, 0), ("clusters", 0, 0)]
)
def test_assignment_of_noise_votes(assignment: Assignment, at_18: int, at_60: int) -> None:
    vectors, semantic, _ = two_cars_and_a_stray()
    chosen = VoteSettings(min_samples=50, max_eps=15, assignment=assignment)
    found = instances_from_votes(vectors, semantic, (CAR,), settings=chosen)
    left = found.ids[15, 20]
    numbers = {left: 1, found.ids[15, 120]: 2, 0: 0}
    assert len(numbers) == 3
    assert numbers[found.ids[3, 5]] == at_18
    assert numbers[found.ids[4, 5]] == at_60
    assert (found.ids[5:, :40] == left).all()


@pytest.mark.parametrize("assignment", ["nearest", "noise", "near", "clusters"])
def test_only_the_rule_nearest_overrides_the_cluster_of_a_vote(assignment: Assignment) -> None:
    # One end of a long cluster is nearer to the centre of a compact cluster than to its own.
    vectors, semantic, _ = scene([(CAR, 0, 0, 100, 20), (CAR, 0, 40, 20, 60)], [], (60, 160))
    vectors[0, :20, :100] = 60.0  # each pixel votes 60 px to its right, so that the cluster is 100 px long
    vectors[1, :20, :100] = 0.0
    vectors[:, 40:60, :20] = (
        np.array([55.0, 19.0])[:, None, None] - np.indices((20, 20))[::-1] - np.array([0, 40])[:, None, None]
    )
    found = instances_from_votes(
        vectors,
        semantic,
        (CAR,),
        settings=VoteSettings(min_samples=20, assignment=assignment, slope=5.0),
    )
    assert len(found.class_ids) == 2
    assert (found.ids[10, 0] == found.ids[50, 10]) == (assignment == "nearest")


def test_confidence_is_mean_probability_times_agreement() -> None:
    vectors, semantic, _ = noisy_street()
    probabilities = np.random.default_rng(0).uniform(0.3, 1, semantic.shape)
    found = instances_from_votes(vectors, semantic, (PERSON, CAR), probabilities)
    certain = instances_from_votes(vectors, semantic, (PERSON, CAR))
    assert len(found.confidence) == 4
    y, x = np.mgrid[:110, :180]
    for number, (confidence, without) in enumerate(zip(found.confidence, certain.confidence, strict=True), start=1):
        mask = found.ids == number
        centre_x, centre_y = found.centres[number - 1]
        votes = x[mask] + vectors[0, mask].astype(float), y[mask] + vectors[1, mask].astype(float)
        error = np.hypot(votes[0] - centre_x, votes[1] - centre_y).mean()
        length = np.hypot(*vectors[:, mask].astype(float)).mean()
        assert without == pytest.approx((length + 1) / (length + 1 + error), rel=1e-9)
        assert 0.5 < without < 1
        assert confidence == pytest.approx(without * probabilities[mask].mean(), rel=1e-9)


def test_exact_votes_have_confidence_1() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 20, 20)], [], (20, 40))
    assert instances_from_votes(vectors, semantic, (CAR,)).confidence.tolist() == [1.0]


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_values_that_are_no_probability_are_refused(value: float) -> None:
    vectors, semantic, _ = street()
    probabilities = np.ones(semantic.shape)
    probabilities[60, 20] = value
    with pytest.raises(MultisigmaError, match="Found 1 of"):
        instances_from_votes(vectors, semantic, (PERSON, CAR), probabilities)
    with pytest.raises(MultisigmaError, match=r"\(110, 180\). Found \(110,\)"):
        instances_from_votes(vectors, semantic, (PERSON, CAR), probabilities[:, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64])
def test_vectors_of_any_number_type(dtype: type) -> None:
    vectors, semantic, ids = scene([(CAR, 0, 0, 21, 21), (CAR, 30, 0, 51, 21)], [], (21, 60))
    found = instances_from_votes(np.nan_to_num(vectors).astype(dtype), semantic.astype(np.uint8), (CAR,))
    assert_same_instances(found.ids, ids)


def test_results_in_threads_equal_those_without() -> None:
    scenes = [noisy_street(seed) for seed in range(6)]
    vectors, semantic = [s[0] for s in scenes], [s[1] for s in scenes]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(instances_from_votes, vectors, semantic, itertools.repeat((PERSON, CAR))))
    for v, s, found in zip(vectors, semantic, together, strict=True):
        np.testing.assert_array_equal(found.ids, instances_from_votes(v, s, (PERSON, CAR)).ids)


def test_defaults_depend_on_the_height_of_the_frame() -> None:
    assert VoteSettings.for_height(1024) == VoteSettings.for_height(4000) == VoteSettings()
    assert VoteSettings.for_height(128) == VoteSettings(
        grid=0.5, min_samples=15, slope=0.25, min_pixels=10, small=False
    )


def paper_by_definition(
    vectors: NDArray[np.floating], semantic: NDArray[np.integer], classes: tuple[int, ...], chosen: VoteSettings
) -> tuple[NDArray[np.int64], list[int], NDArray[np.float64], list[float]]:
    """Compute ids, classes, centres and agreement of the votes in plain numpy around scikit-learn's OPTICS."""
    y, x = np.nonzero(np.isin(semantic, classes))
    pixel_vectors = vectors[:, y, x].T.astype(float)
    votes = pixel_vectors + np.stack((x, y), axis=1)
    pooled, first = votes.copy(), np.arange(len(votes))
    if chosen.grid:
        cells = np.rint(votes / chosen.grid)
        for cell in np.unique(cells, axis=0):
            inside = (cells == cell).all(axis=1)
            pooled[inside], first[inside] = votes[inside].mean(axis=0), inside.argmax()
    model = OPTICS(min_samples=chosen.min_samples, max_eps=chosen.max_eps, metric="minkowski", p=2, algorithm="kd_tree")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no point is reachable
        model.fit(pooled)
    labels = cluster_optics_dbscan(
        reachability=model.reachability_,
        core_distances=model.core_distances_,
        ordering=model.ordering_,
        eps=chosen.cut,
    )[first]  # the votes of a cell are one point, with the label of its first copy
    centres = np.array([pooled[labels == k].mean(axis=0) for k in range(labels.max() + 1)]).reshape(-1, 2)
    members = np.full(len(votes), -1)
    while len(centres):
        members = np.hypot(*(pooled[:, None] - centres).transpose(2, 0, 1)).argmin(axis=1)
        large = np.bincount(members, minlength=len(centres)) >= chosen.min_pixels
        if large.all():
            break
        centres = centres[large]
        members[:] = -1
    ids = np.zeros(semantic.shape, np.int64)
    ids[y, x] = members + 1
    class_ids, agreement = [], []
    for k, centre in enumerate(centres):
        here = members == k
        numbers, counts = np.unique(semantic[y, x][here], return_counts=True)
        class_ids.append(int(numbers[counts == counts.max()].min()))
        length = np.hypot(*pixel_vectors[here].T).mean()
        error = np.hypot(*(votes[here] - centre).T).mean()
        agreement.append((length + 1) / (length + 1 + error))
    return ids, class_ids, centres, agreement


@pytest.mark.parametrize("grid", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_paper_settings_against_plain_numpy(grid: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, semantic, _ = scene(
        [(CAR, 2, 4, 32, 24), (CAR, 26, 10, 56, 30), (PERSON, 50, 3, 58, 28), (CAR, 64, 20, 69, 23)],
        [(12, 15)],
        (32, 72),
    )
    vectors = (np.nan_to_num(vectors) + rng.normal(0, 1.2, vectors.shape)).astype(np.float32)
    # The semantic map errs at some pixels, so that instances hold more than one class.
    wrong = (semantic != ROAD) & (rng.uniform(size=semantic.shape) < 0.3)
    semantic = np.where(wrong, PERSON + CAR - semantic, semantic)
    probabilities = rng.uniform(0.2, 1, semantic.shape)
    chosen = replace(VoteSettings.paper(1024), grid=grid, min_samples=20, cut=1.5, min_pixels=30)
    found = instances_from_votes(vectors, semantic, (CAR, PERSON), probabilities, chosen)
    ids, class_ids, centres, agreement = paper_by_definition(vectors, semantic, (CAR, PERSON), chosen)
    assert len(class_ids) >= 3
    np.testing.assert_array_equal(found.ids, ids)
    assert found.class_ids.tolist() == class_ids
    np.testing.assert_allclose(found.centres, centres, rtol=1e-12)
    for k, value in enumerate(agreement, start=1):
        assert found.confidence[k - 1] == pytest.approx(value * probabilities[ids == k].mean(), rel=1e-9)
        assert found.pixels[k - 1] == (ids == k).sum()
    assert any(len(np.unique(semantic[ids == k])) > 1 for k in range(1, len(class_ids) + 1))
    assert ((ids > 0) == (semantic != ROAD)).all()


def test_the_lowest_class_wins_if_counts_are_equal() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 20, 20)], [], (20, 20))
    semantic[:10] = PERSON
    chosen = replace(VoteSettings.paper(1024), min_samples=20)
    assert instances_from_votes(vectors, semantic, (CAR, PERSON), settings=chosen).class_ids.tolist() == [PERSON]
    semantic[9, 0] = CAR
    assert instances_from_votes(vectors, semantic, (CAR, PERSON), settings=chosen).class_ids.tolist() == [CAR]


def test_one_object_with_two_classes_is_one_instance_if_classes_are_clustered_together() -> None:
    vectors, semantic, _ = scene([(CAR, 0, 0, 40, 20)], [], (20, 40))
    semantic[:, 30:] = PERSON
    together, apart = (
        instances_from_votes(vectors, semantic, (CAR, PERSON), settings=chosen)
        for chosen in (VoteSettings.paper(1024), replace(VoteSettings.paper(1024), per_class=True))
    )
    assert (together.class_ids.tolist(), together.pixels.tolist()) == ([CAR], [800])
    assert (apart.class_ids.tolist(), apart.pixels.tolist()) == ([PERSON, CAR], [200, 600])


def test_paper_settings_differ_from_the_defaults_only_in_the_rules_of_the_paper() -> None:
    for height, cut, smallest in ((64, 2.0, 10), (128, 2.0, 10), (576, 3.0, 32), (1024, 4.0, 100), (4000, 4.0, 100)):
        assert VoteSettings.paper(height) == replace(
            VoteSettings.for_height(height),
            per_class=False,
            extraction="cut",
            cut=cut,
            assignment="nearest",
            min_pixels=smallest,
            small=False,
            drop_strips=False,
        )


def test_the_error_names_no_class_if_classes_are_clustered_together() -> None:
    vectors = np.zeros((2, 4, 5))
    vectors[1, 2, 3] = np.nan
    with pytest.raises(MultisigmaError, match="1 of 20 pixels of the instance classes"):
        instances_from_votes(vectors, np.full((4, 5), CAR), (CAR, PERSON), settings=VoteSettings.paper(1024))


def test_paper_settings_on_a_frame_without_instances() -> None:
    found = instances_from_votes(np.zeros((2, 4, 5)), np.zeros((4, 5), int), (CAR,), settings=VoteSettings.paper(4))
    assert found.class_ids.shape == (0,)
    assert not found.ids.any()
