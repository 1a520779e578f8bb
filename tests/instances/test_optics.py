"""OPTICS against scikit-learn's, bit for bit."""

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import OPTICS

from multisigma.errors import MultisigmaError
from multisigma.instances import Ordering, optics

FIELDS = ("ordering", "reachability", "core_distances", "predecessor")
Points = NDArray[np.float64]


def scikit_learn(points: NDArray[Any], min_samples: int, max_eps: float, algorithm: str = "kd_tree") -> Ordering:
    # If min_samples is at least half the number of points, `auto` computes distances by dot products, which round.
    model = OPTICS(min_samples=min_samples, max_eps=max_eps, metric="minkowski", p=2, algorithm=algorithm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(points)
    return Ordering(model.ordering_, model.reachability_, model.core_distances_, model.predecessor_)


def assert_equal(found: Ordering, expected: Ordering) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)


def clusters(rng: np.random.Generator, count: int) -> Points:
    centres, spreads = rng.uniform(0, 60, (5, 2)), rng.uniform(0.2, 5, 5)
    which = rng.integers(5, size=count)
    return centres[which] + spreads[which, None] * rng.normal(size=(count, 2))


LAYOUTS: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "uniform": lambda rng, n: rng.uniform(-40, 40, (n, 2)),
    "clustered": clusters,
    "collinear": lambda rng, n: np.outer(rng.normal(0, 9, n), (0.6, -1.7)),
    "upright": lambda rng, n: np.column_stack((np.full(n, 3.25), rng.normal(0, 9, n))),
    "lattice": lambda rng, n: rng.integers(-6, 7, (n, 2)).astype(float),
    "fine lattice": lambda rng, n: 0.1 * rng.integers(0, 25, (n, 2)),
    "duplicates": lambda rng, n: rng.uniform(0, 9, (max(n // 9, 1), 2))[rng.integers(max(n // 9, 1), size=n)],
    "signed zeros": lambda rng, n: rng.choice([0.0, -0.0, 1.0], (n, 2)),
    "far and near": lambda rng, n: clusters(rng, n) * rng.choice([1.0, 1e4], (n, 1)),
    "tiny": lambda rng, n: clusters(rng, n) * 1e-14,
    "large": lambda rng, n: clusters(rng, n) * 1e7,
}
# No two points are exactly this far apart: whether scikit-learn counts them as neighbours then depends on its tree.
MAX_EPS = (math.inf, math.inf, 0.8123, 3.217, 31.3)


def compare_with_scikit_learn(layout: str, seed: int, cases: int) -> None:
    rng = np.random.default_rng((seed, list(LAYOUTS).index(layout)))
    for case in range(cases):
        count = int(rng.integers(2, 60 if case % 5 else 240))
        points = LAYOUTS[layout](rng, count)
        min_samples = int(rng.integers(2, min(count, 200 if case % 2 else 12) + 1))
        max_eps = float(rng.choice(MAX_EPS))
        assert_equal(optics(points, min_samples, max_eps), scikit_learn(points, min_samples, max_eps))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bit_identical_to_scikit_learn(layout: str) -> None:
    compare_with_scikit_learn(layout, seed=0, cases=40)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bit_identical_to_scikit_learn_in_thousands_of_cases(layout: str) -> None:
    compare_with_scikit_learn(layout, seed=1, cases=300)


@pytest.mark.parametrize(("min_samples", "max_eps"), [(2, math.inf), (5, 6.0), (40, math.inf), (200, 11.0)])
def test_bit_identical_at_thousands_of_points(min_samples: int, max_eps: float) -> None:
    rng = np.random.default_rng(min_samples)
    points = np.concatenate((clusters(rng, 2000), rng.integers(0, 60, (300, 2)), rng.uniform(-50, 110, (200, 2))))
    points = points[rng.permutation(len(points))].astype(np.float64)
    assert_equal(optics(points, min_samples, max_eps), scikit_learn(points, min_samples, max_eps, "auto"))


coordinate = st.one_of(st.floats(-1e6, 1e6), st.integers(-5, 5).map(float), st.floats(-1e-12, 1e-12))


@given(
    points=st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=40),
    min_samples=st.integers(2, 12),
    max_eps=st.one_of(st.just(math.inf), st.floats(1e-3, 1e7)),
)
@settings(max_examples=250)
def test_bit_identical_on_any_points(points: list[tuple[float, float]], min_samples: int, max_eps: float) -> None:
    array = np.array(points)
    distances = np.hypot(*(array[:, None] - array[None]).transpose(2, 0, 1))
    if np.isclose(distances, max_eps, rtol=1e-9).any():
        max_eps = math.inf
    min_samples = min(min_samples, len(points))
    assert_equal(optics(array, min_samples, max_eps), scikit_learn(array, min_samples, max_eps))


exponent = st.one_of(st.floats(-320, 300), st.floats(-170, -150), st.floats(150, 160))


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(2, 90),
    exponents=st.lists(exponent, min_size=1, max_size=4),
    min_samples=st.integers(2, 90),
    max_eps=st.one_of(st.just(math.inf), exponent.map(lambda e: max(10.0**e, 5e-324))),
)
@settings(max_examples=150)
def test_bit_identical_at_any_scale(
    seed: int, count: int, exponents: list[float], min_samples: int, max_eps: float
) -> None:
    rng = np.random.default_rng(seed)
    scales = rng.choice(np.maximum(10.0 ** np.array(exponents), 5e-324), (count, 1))
    points = rng.normal(size=(count, 2)) * scales
    points = np.repeat(points, rng.integers(1, 3), axis=0)[:count]
    min_samples = min(min_samples, count)
    assert_equal(optics(points, min_samples, max_eps), scikit_learn(points, min_samples, max_eps))


@pytest.mark.parametrize("exponent", [-162, -161])
def test_optics_ends_where_squared_distances_underflow(exponent: int) -> None:
    points = np.random.default_rng(0).normal(size=(60, 2)) * 10.0**exponent
    found: list[Ordering] = []
    # A daemon thread does not keep a failing test run alive. Compiling at first use may take some 20 s.
    thread = Thread(target=lambda: found.append(optics(points, 20)), daemon=True)
    thread.start()
    thread.join(timeout=120)
    assert found, "still running after 120 s"
    assert_equal(found[0], scikit_learn(points, 20, math.inf))


def by_definition(points: Points, min_samples: int, max_eps: float) -> Ordering:
    """OPTICS as Ankerst et al. (1999) write it, on all pairs; neighbours by squared distances."""
    dx, dy = points[:, None, 0] - points[:, 0], points[:, None, 1] - points[:, 1]
    squares = dx * dx + dy * dy
    distances, near = np.sqrt(squares), squares <= max_eps * max_eps
    cores = np.sort(distances, axis=1)[:, min_samples - 1]
    cores = np.around(np.where(cores > max_eps, math.inf, cores), 15).astype(np.float64)
    reachability, predecessor = np.full(len(points), math.inf), np.full(len(points), -1)
    ordering: list[int] = []
    for _ in points:
        waiting = np.setdiff1d(np.arange(len(points)), ordering)
        point = int(waiting[reachability[waiting].argmin()])
        ordering.append(point)
        if cores[point] < math.inf:
            reach = np.around(np.maximum(distances[point], cores[point]), 15)
            better = near[point] & (reach < reachability) & ~np.isin(np.arange(len(points)), ordering)
            reachability[better], predecessor[better] = reach[better], point
    return Ordering(np.array(ordering), reachability, cores, predecessor)


@pytest.mark.parametrize("seed", [3043, 8567, 10241, 15456, *range(20)])
def test_neighbours_are_found_where_the_square_of_max_eps_is_subnormal(seed: int) -> None:
    # The first four seeds put a neighbour in another leaf of the tree, at a distance that rounds to above max_eps.
    rng = np.random.default_rng(seed)
    count = int(rng.integers(20, 80))
    points = np.round(rng.normal(size=(count, 2)) * 3) * 10.0 ** rng.uniform(-163, -161)
    max_eps = 10.0 ** rng.uniform(-162.5, -161)
    assert_equal(optics(points, 2, max_eps), by_definition(points, 2, max_eps))


@given(
    seed=st.integers(0, 10**6),
    layout=st.sampled_from(sorted(LAYOUTS)),
    min_samples=st.integers(2, 40),
    max_eps=st.sampled_from(MAX_EPS),
)
@settings(max_examples=60)
def test_a_weight_counts_as_equal_points(seed: int, layout: str, min_samples: int, max_eps: float) -> None:
    rng = np.random.default_rng(seed)
    points = LAYOUTS[layout](rng, int(rng.integers(1, 40)))
    weights = rng.integers(1, rng.integers(2, 12), len(points))
    expanded = np.repeat(points, weights, axis=0)
    if len(expanded) < max(min_samples, 2):
        return
    everything = scikit_learn(expanded, min_samples, max_eps)
    owner = np.repeat(np.arange(len(points)), weights)
    first = np.cumsum(weights) - weights
    is_first = np.isin(everything.ordering, first)
    before = everything.predecessor[first]
    expected = Ordering(
        owner[everything.ordering[is_first]],
        everything.reachability[first],
        everything.core_distances[first],
        np.where(before < 0, -1, owner[before]),
    )
    assert_equal(optics(points, min_samples, max_eps, weights), expected)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_points_than_min_samples_are_all_unreached(count: int) -> None:
    found = optics(np.arange(2 * count).reshape(count, 2), 5)
    assert found.ordering.tolist() == list(range(count))
    assert np.isinf(found.reachability).all()
    assert np.isinf(found.core_distances).all()
    assert found.predecessor.tolist() == [-1] * count
    assert found.reachability.shape == (count,)


def test_points_exactly_at_max_eps_are_neighbours() -> None:
    found = optics([[0.0, 0.0], [3.0, 4.0]], 2, max_eps=5.0)
    assert found.core_distances.tolist() == [5.0, 5.0]
    assert found.predecessor.tolist() == [-1, 0]


def test_results_in_threads_equal_those_without() -> None:
    rng = np.random.default_rng(0)
    sets = [clusters(rng, 3000) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda points: optics(points, 20), sets))
    for points, result in zip(sets, found, strict=True):
        assert_equal(result, optics(points, 20))


def test_input_is_not_modified() -> None:
    points = clusters(np.random.default_rng(3), 200)
    copy = points.copy()
    optics(points, 5)
    np.testing.assert_array_equal(points, copy)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros(4),
        np.zeros((4, 3)),
        np.zeros((2, 2, 2)),
        np.zeros((4, 2), complex),
        np.zeros((4, 2), bool),
        [["a", "b"]],
    ],
    ids=["flat", "3-D", "three axes", "complex", "bool", "text"],
)
def test_points_of_another_shape_or_type_are_refused(points: object) -> None:
    with pytest.raises(MultisigmaError, match=r"`points` of OPTICS must .* the shape \(N, 2\)\. Found"):
        optics(points, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_points_that_are_not_finite_are_refused_with_their_number(value: float) -> None:
    with pytest.raises(MultisigmaError, match=r"finite\. Found 1 of 3"):
        optics([[0.0, 0.0], [1.0, value], [2.0, 2.0]], 2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -2, 1], "at least 1. Found -2"),
        ([1, 0, 1], "at least 1. Found 0"),
        ([1, 1], r"shape \(3,\)"),
        ([1.0, 1.0, 1.0], "float64"),
    ],
)
def test_invalid_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(MultisigmaError, match=message):
        optics(np.zeros((3, 2)), 2, weights=weights)


@pytest.mark.parametrize("min_samples", [1, 0, -3, 2.5, True])
def test_invalid_min_samples_is_refused(min_samples: int) -> None:
    with pytest.raises(MultisigmaError, match=r"`min_samples` of OPTICS must be an integer of at least 2"):
        optics(np.zeros((3, 2)), min_samples)


@pytest.mark.parametrize("max_eps", [0.0, -1.0, math.nan])
def test_invalid_max_eps_is_refused(max_eps: float) -> None:
    with pytest.raises(MultisigmaError, match="`max_eps` of OPTICS must be positive"):
        optics(np.zeros((3, 2)), 2, max_eps)
