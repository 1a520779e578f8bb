"""Extraction of clusters: against scikit-learn, and `tree_clusters` on points whose clusters are known."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import cluster_optics_dbscan, cluster_optics_xi

from multisigma.errors import MultisigmaError
from multisigma.instances import Ordering, dbscan_cut, optics, tree_clusters, xi_clusters


def points_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 250))
    layout = seed % 4
    if layout == 0:
        return rng.uniform(0, 20, (count, 2))
    if layout == 1:
        return rng.integers(0, 9, (count, 2)).astype(float)
    centres = rng.uniform(0, 40, (6, 2))
    points = centres[rng.integers(6, size=count)] + rng.normal(size=(count, 2)) * rng.uniform(0.1, 2)
    return np.repeat(points, 2, axis=0)[:count] if layout == 2 else points


@given(
    seed=st.integers(0, 10**6),
    min_samples=st.integers(2, 30),
    max_eps=st.sampled_from([math.inf, 0.71, 5.3]),
    cut=st.floats(0, 12),
    xi=st.floats(0, 0.95),
    min_cluster_size=st.one_of(st.none(), st.integers(2, 40)),
    correction=st.booleans(),
)
@settings(max_examples=250)
def test_labels_equal_those_of_scikit_learn(
    seed: int,
    min_samples: int,
    max_eps: float,
    cut: float,
    xi: float,
    min_cluster_size: int | None,
    correction: bool,
) -> None:
    points = points_of(seed)
    min_samples = min(min_samples, len(points))
    size = None if min_cluster_size is None else min(min_cluster_size, len(points))
    order = optics(points, min_samples, max_eps)
    plot = {"reachability": order.reachability, "ordering": order.ordering}
    expected = cluster_optics_dbscan(core_distances=order.core_distances, eps=cut, **plot)
    np.testing.assert_array_equal(dbscan_cut(order, cut), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels, clusters = cluster_optics_xi(
            predecessor=order.predecessor,
            min_samples=min_samples,
            min_cluster_size=size,
            xi=xi,
            predecessor_correction=correction,
            **plot,
        )
    found, areas = xi_clusters(order, min_samples, xi, size, correction)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(areas, clusters.reshape(-1, 2))


def test_xi_finds_more_clusters_than_its_initial_array_holds() -> None:
    rng = np.random.default_rng(0)
    points = (rng.uniform(0, 3000, (300, 1, 2)) + rng.normal(size=(300, 12, 2))).reshape(-1, 2)
    order = optics(points, 4)
    labels, clusters = xi_clusters(order, 4)
    expected, areas = cluster_optics_xi(
        reachability=order.reachability, predecessor=order.predecessor, ordering=order.ordering, min_samples=4
    )
    assert len(clusters) > 128
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(clusters, areas)


@pytest.mark.parametrize("count", [0, 1])
def test_extraction_from_zero_or_one_point(count: int) -> None:
    order = optics(np.zeros((count, 2)), 2)
    assert dbscan_cut(order, 1.0).tolist() == [-1] * count
    assert tree_clusters(order, np.zeros((count, 2)), np.ones(count)).tolist() == [-1] * count
    labels, clusters = xi_clusters(order, 2)
    assert labels.tolist() == [-1] * count
    assert clusters.shape == (0, 2)


def blobs(*parts: tuple[float, float, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of Gaussian blobs, each given as (x, y, spread, points), and the blob of each point."""
    rng = np.random.default_rng(7)
    points = np.concatenate([(x, y) + spread * rng.normal(size=(n, 2)) for x, y, spread, n in parts])
    return points, np.repeat(np.arange(len(parts)), [part[-1] for part in parts])


def purity(labels: np.ndarray, blob_of: np.ndarray) -> float:
    """Return the share of labelled points if labels and blobs correspond one to one, and 0 otherwise."""
    pairs = set(zip(labels[labels >= 0].tolist(), blob_of[labels >= 0].tolist(), strict=True))
    one_to_one = len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == blob_of.max() + 1
    return float((labels >= 0).mean()) if one_to_one else 0.0


def test_tree_finds_dense_and_sparse_clusters_where_no_cut_does() -> None:
    # The distance between the two dense blobs is below the spread of the sparse one.
    points, blob_of = blobs((0, 0, 0.3, 400), (3, 0, 0.3, 400), (100, 0, 14, 400))
    order = optics(points, 20)
    assert purity(tree_clusters(order, points, np.ones(len(points)), min_weight=30), blob_of) > 0.9
    assert all(purity(dbscan_cut(order, cut), blob_of) < 0.75 for cut in np.geomspace(0.05, 50, 60))


@pytest.mark.parametrize(("scale", "count"), [(1.0, 2), (100.0, 1)])
def test_pieces_merge_if_their_distance_is_small_compared_with_their_scale(scale: float, count: int) -> None:
    points, _ = blobs((0, 0, 1, 300), (8, 0, 1, 300))
    labels = tree_clusters(optics(points, 20), points, np.full(600, scale), min_weight=30)
    assert labels.max() + 1 == count


def test_deeper_valleys_are_separate_at_a_smaller_distance() -> None:
    points, _ = blobs((0, 0, 1, 300), (8, 0, 1, 300))
    compact, _ = blobs((0, 0, 0.05, 300), (8, 0, 0.05, 300))
    scales = np.full(600, 100.0)
    assert tree_clusters(optics(points, 20), points, scales, min_weight=30).max() == 0
    assert tree_clusters(optics(compact, 20), compact, scales, min_weight=30).max() == 1


def test_valleys_below_min_weight_are_not_clusters() -> None:
    points, blob_of = blobs((0, 0, 1, 300), (20, 0, 0.2, 25), (40, 0, 1, 300))
    order = optics(points, 10)
    assert tree_clusters(order, points, np.full(len(points), 10.0), min_weight=20).max() + 1 == 3
    labels = tree_clusters(order, points, np.full(len(points), 10.0), min_weight=30)
    assert labels.max() + 1 == 2
    assert len(np.unique(labels[blob_of != 1])) <= 3


def test_a_weight_counts_as_equal_points() -> None:
    rng = np.random.default_rng(2)
    points, _ = blobs((0, 0, 1, 80), (9, 0, 1, 80), (30, 9, 3, 80))
    weights = rng.integers(1, 6, len(points))
    owner = np.repeat(np.arange(len(points)), weights)
    weighted = tree_clusters(
        optics(points, 30, weights=weights), points, np.ones(len(points)), weights, min_weight=40, resolution=0.5
    )
    repeated = tree_clusters(
        optics(points[owner], 30), points[owner], np.ones(len(owner)), min_weight=40, resolution=0.5
    )
    assert weighted.max() + 1 == repeated.max() + 1 == 3
    pairs = set(zip(weighted[owner].tolist(), repeated.tolist(), strict=True))
    assert len(pairs) == len(set(weighted.tolist()))


def test_connected_components_are_never_merged() -> None:
    points, blob_of = blobs((0, 0, 1, 100), (500, 0, 1, 100))
    labels = tree_clusters(optics(points, 10, max_eps=20), points, np.full(200, 1e6), min_weight=30)
    assert purity(labels, blob_of) == 1.0


ORDER = Ordering(np.array([0]), np.array([math.inf]), np.array([math.inf]), np.array([-1]))


@pytest.mark.parametrize("cut", [-1.0, math.nan])
def test_invalid_cut_is_refused(cut: float) -> None:
    with pytest.raises(MultisigmaError, match=f"Found {cut}"):
        dbscan_cut(ORDER, cut)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_samples": 1}, "`min_samples`.*Found 1"),
        ({"min_samples": 5, "min_cluster_size": 1}, "`min_cluster_size`.*Found 1"),
        ({"min_samples": 5, "xi": 1.0}, "`xi`.*Found 1.0"),
        ({"min_samples": 5, "xi": math.nan}, "`xi`.*Found nan"),
    ],
)
def test_invalid_arguments_of_xi_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(MultisigmaError, match=message):
        xi_clusters(ORDER, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"contrast": 0.0}, {"contrast": 1.5}, {"slope": 0.0}, {"slope": math.nan}])
def test_invalid_arguments_of_tree_clusters_are_refused(arguments: dict[str, float]) -> None:
    name, value = next(iter(arguments.items()))
    with pytest.raises(MultisigmaError, match=f"`{name}` must be .*Found {value}"):
        tree_clusters(ORDER, np.zeros((1, 2)), np.ones(1), **arguments)  # type: ignore[arg-type]
