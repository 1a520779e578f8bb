"""Extract clusters from an OPTICS ordering, in three ways.

The reachability plot shows the reachability of the points in the order of processing. Its valleys are dense groups.

- `dbscan_cut` cuts the plot at one depth. Each valley below the cut is a cluster.
- `xi_clusters` takes the valleys between steep slopes.
- `tree_clusters` merges valleys from the bottom up. At each peak it decides whether its two valleys are one cluster.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.instances.kdtree import Floats, Ints
from multisigma.instances.optics import Ordering

Bools = NDArray[np.bool_]


def dbscan_cut(order: Ordering, cut: float) -> Ints:
    """Cut the reachability plot at one depth, as `sklearn.cluster.cluster_optics_dbscan` does.

    Args:
        order: Result of `optics`.
        cut: Reachability at which to cut, in the points' unit. A cut above the `max_eps` of the ordering gives the same
            clusters as one at `max_eps`. An infinite one makes all points noise, as in scikit-learn.

    Returns:
        Cluster of each point, numbered from 0, or -1 for noise; shape (N,).

    Raises:
        MultisigmaError: If `cut` is negative or NaN.

    Example:
        >>> from multisigma.instances import dbscan_cut, optics
        >>> order = optics([[0, 0], [0, 1], [1, 0], [10, 0], [10, 1], [50, 0]], min_samples=2)
        >>> dbscan_cut(order, cut=3.0).tolist()
        [0, 0, 0, 1, 1, -1]
    """
    if not cut >= 0:
        raise MultisigmaError(f"Parameter `cut` must be at least 0. Found {cut}.")
    far, core = order.reachability > cut, order.core_distances <= cut
    labels = np.empty(len(far), np.int64)
    labels[order.ordering] = np.cumsum((far & core)[order.ordering]) - 1
    labels[far & ~core] = -1
    return labels


def xi_clusters(
    order: Ordering,
    min_samples: int,
    xi: float = 0.05,
    min_cluster_size: int | None = None,
    predecessor_correction: bool = True,
) -> tuple[Ints, Ints]:
    """Extract the clusters between steep slopes of the reachability plot, as `sklearn.cluster.cluster_optics_xi` does.

    This is the algorithm of figure 19 of Ankerst et al. (1999), with the predecessor correction of Schubert and Gertz
    (2018). A position is steep if the reachability changes there by at least the share `xi`. A steep area is a run of
    steep positions in one direction, down or up.

    Args:
        order: Result of `optics`, without weights.
        min_samples: The `min_samples` of the ordering. A steep area may contain at most this many consecutive positions
            that are not steep.
        xi: Minimum relative change of reachability between neighbouring steep positions; from 0 to below 1.
        min_cluster_size: Minimum number of points of a cluster; None for `min_samples`.
        predecessor_correction: Remove points from a cluster's end that were not reached from within the cluster.

    Returns:
        Two arrays. The first, of shape (N,), has the label of each point: innermost clusters are numbered from 0, and
        all other points have -1. A label is not a row of the second array. The second, of shape (K, 2), has the first
        and last position of
        each cluster in the ordering. A cluster comes after those that it contains.

    Raises:
        MultisigmaError: If an argument is not as described.

    Example:
        >>> from multisigma.instances import optics, xi_clusters
        >>> order = optics([[0, 0], [0, 1], [1, 0], [10, 0], [10, 1], [11, 0]], min_samples=2)
        >>> labels, spans = xi_clusters(order, min_samples=2, xi=0.1)
        >>> labels.tolist()
        [0, 0, 0, 1, 1, 1]
        >>> spans.tolist()
        [[0, 2], [3, 5], [0, 5]]
    """
    size = min_samples if min_cluster_size is None else min_cluster_size
    for name, value in (("min_samples", min_samples), ("min_cluster_size", size)):
        if value < 2:
            raise MultisigmaError(f"Parameter `{name}` must be at least 2. Found {value}.")
    if not 0 <= xi < 1:
        raise MultisigmaError(f"Parameter `xi` must be at least 0 and below 1. Found {xi}.")
    plot = np.append(order.reachability[order.ordering], math.inf)
    position = np.empty(len(order.ordering), np.int64)
    position[order.ordering] = np.arange(len(position))
    predecessor = order.predecessor[order.ordering]
    reached_from = np.where(predecessor < 0, -1, position[predecessor])
    clusters = _xi_clusters(plot, reached_from, 1 - xi, min_samples, size, predecessor_correction)
    labels = np.empty_like(position)
    labels[order.ordering] = _innermost(clusters, len(position))
    return labels, clusters


@njit(cache=True, nogil=True)
def _end_of_steep(steep: Bools, opposite: Bools, start: int, min_samples: int) -> int:
    """Return the last position of the steep area that begins at `start`."""
    flat, end = 0, start
    for index in range(start, len(steep)):
        if steep[index]:
            flat, end = 0, index
        elif opposite[index]:
            return end
        else:
            flat += 1
            if flat > min_samples:
                return end
    return end


@njit(cache=True, nogil=True)
def _still_below(starts: Ints, ends: Ints, highest: Floats, count: int, peak: float, plot: Floats, rest: float) -> int:
    """Drop the steep down areas that start below `peak / rest`. Return how many remain.

    `peak` is a maximum of the plot after these areas.
    """
    if math.isinf(peak):
        return 0
    kept = 0
    for d in range(count):
        if peak <= plot[starts[d]] * rest:
            starts[kept], ends[kept], highest[kept] = starts[d], ends[d], max(highest[d], peak)
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _xi_clusters(
    plot: Floats, reached_from: Ints, rest: float, min_samples: int, min_cluster_size: int, correction: bool
) -> Ints:
    """Return the clusters as first and last positions, shape (K, 2).

    Args:
        plot: Reachability by position, followed by an infinite value; shape (N + 1,).
        reached_from: Position of each point's predecessor, or -1; shape (N,).
        rest: 1 - xi.
        min_samples: Maximum number of consecutive positions in a steep area that are not steep.
        min_cluster_size: Minimum number of points of a cluster.
        correction: Whether to apply the predecessor correction.
    """
    n = len(plot) - 1
    ratio = np.empty(n)
    for i in range(n):
        # Divide as NumPy does: 0 / 0 and inf / inf are NaN, and every comparison with NaN is false.
        a, b = plot[i], plot[i + 1]
        if b == 0.0:
            ratio[i] = math.inf if a > 0.0 else math.nan
        else:
            ratio[i] = a / b
    steep_up, steep_down, down, up = ratio <= rest, ratio >= 1 / rest, ratio > 1, ratio < 1
    starts, ends, highest = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    areas = 0
    clusters = np.empty((64, 2), np.int64)
    count = 0
    index = 0
    peak = 0.0
    for steep in range(n):
        if steep < index or not (steep_up[steep] or steep_down[steep]):
            continue
        for i in range(index, steep + 1):
            peak = max(peak, plot[i])
        areas = _still_below(starts, ends, highest, areas, peak, plot, rest)
        if steep_down[steep]:
            starts[areas], ends[areas], highest[areas] = steep, _end_of_steep(steep_down, up, steep, min_samples), 0.0
            index = ends[areas] + 1
            areas += 1
            peak = plot[index]
            continue
        up_end = _end_of_steep(steep_up, down, steep, min_samples)
        index = up_end + 1
        peak = plot[index]
        for d in range(areas - 1, -1, -1):  # innermost clusters first
            start, end = starts[d], up_end
            after, top = plot[up_end + 1], plot[starts[d]]
            if after * rest < highest[d]:
                continue
            # Criterion 4 of definition 11: shorten the higher side, so that both ends are at about the same level.
            if top * rest >= after:
                while plot[start + 1] > after and start < ends[d]:
                    start += 1
            elif after * rest >= top:
                while plot[end - 1] > top and end > steep:
                    end -= 1
            if correction:
                while start < end and not (plot[start] > plot[end] or start <= reached_from[end] < end):
                    end -= 1
                if start >= end:
                    continue
            if end - start + 1 < min_cluster_size or start > ends[d] or end < steep:
                continue
            if count == len(clusters):
                larger = np.empty((2 * count, 2), np.int64)
                larger[:count] = clusters
                clusters = larger
            clusters[count] = start, end
            count += 1
    return clusters[:count].copy()


@njit(cache=True, nogil=True)
def _innermost(clusters: Ints, n: int) -> Ints:
    """Label the positions of the clusters that contain no smaller cluster; -1 elsewhere."""
    labels = np.full(n, -1)
    label = 0
    for start, end in clusters:
        free = True
        for i in range(start, end + 1):
            if labels[i] != -1:
                free = False
                break
        if free:
            labels[start : end + 1] = label
            label += 1
    return labels


def tree_clusters(
    order: Ordering,
    points: Floats,
    scales: Floats,
    weights: Ints | None = None,
    contrast: float = 0.75,
    slope: float = 1.0,
    min_weight: int = 1,
    resolution: float = 0.0,
) -> Ints:
    """Extract clusters by merging the valleys of the reachability plot from the bottom up.

    A level rises through the plot. At each peak, the valleys on its two sides become one. A valley is deep enough for a
    peak of reachability h if its weight is at least `min_weight` and its minimum core distance at most `contrast` times
    h. Two valleys that meet are compared as follows:

    1. If one already contains separate clusters, these stay. The other becomes a cluster if it is deep enough, and
       noise if not.
    2. Otherwise, if both are deep enough, let m be the larger of their minimum core distances, d the distance between
       their means, and s the mean scale of the lighter one. They become separate clusters if

           m / h <= slope * d / s

    3. In all other cases they are parts of one cluster.

    At the end, a valley without separate clusters is a cluster if it has a core point and a weight of at least
    `min_weight`.

    So each cluster is found at its own depth, and one plot yields small dense clusters and large sparse ones. Pieces of
    one cluster are close to each other compared with their scale. Only a high peak makes them separate clusters.

    For centroid votes the scale is the length of the vectors, because a vote's error grows with it. Two similar-sized
    objects closer than their own radius cannot be told apart.

    Comparing a valley's depth with a share of its peak comes from Sander, Qin, Lu, Niu and Kovarsky (PAKDD 2003). Here
    the share also depends on distance and scale.

    Args:
        order: Result of `optics`. Valleys on both sides of an infinite reachability never meet.
        points: The points that were ordered, shape (N, 2).
        scales: Scale of each point, in the points' unit; shape (N,).
        weights: Multiplicities, shape (N,); None for all 1.
        contrast: A valley is deep enough if its minimum core distance is at most this share of the peak; above 0 and at
            most 1.
        slope: The larger, the closer separate clusters may be to each other; above 0.
        min_weight: Minimum total weight of a cluster.
        resolution: Smaller core distances are raised to this, in the points' unit. For pooled points take half the grid
            size, as `instances_from_votes` does.

    Returns:
        Cluster of each point, numbered from 0, or -1 for noise; shape (N,).

    Raises:
        MultisigmaError: If `contrast` or `slope` is out of its range.

    Example:
        Two dense groups, 10 apart. They are two clusters if their scale is 1, and one if it is 1,000:

        >>> import numpy as np
        >>> from multisigma.instances import optics, tree_clusters
        >>> points = np.array([[0, 0], [0, 1], [1, 0], [10, 0], [10, 1], [11, 0]])
        >>> order = optics(points, min_samples=2)
        >>> tree_clusters(order, points, scales=np.full(6, 1.0), min_weight=3).tolist()
        [0, 0, 0, 1, 1, 1]
        >>> tree_clusters(order, points, scales=np.full(6, 1000.0), min_weight=3).tolist()
        [0, 0, 0, 0, 0, 0]
    """
    if not 0 < contrast <= 1:
        raise MultisigmaError(f"Parameter `contrast` must be above 0 and at most 1. Found {contrast}.")
    if not slope > 0:
        raise MultisigmaError(f"Parameter `slope` must be positive. Found {slope}.")
    by_rank = order.ordering
    weight = np.ones(len(by_rank)) if weights is None else weights[by_rank].astype(np.float64)
    labels = np.empty(len(by_rank), np.int64)
    depths = np.maximum(order.core_distances[by_rank], resolution)
    # Floats: whole numbers would compile it again.
    rules = float(contrast), float(min_weight)
    labels[by_rank] = _tree_clusters(
        order.reachability[by_rank], depths, points[by_rank], scales[by_rank] / slope, weight, *rules
    )
    return labels


@njit(cache=True, nogil=True)
def _valley_of(parents: Ints, position: int) -> int:
    """Return the valley that holds a position (union-find, with path halving)."""
    while parents[position] != position:
        parents[position] = parents[parents[position]]
        position = parents[position]
    return position


@njit(cache=True, nogil=True)
def _tree_clusters(
    plot: Floats, depths: Floats, points: Floats, scales: Floats, weights: Floats, contrast: float, min_weight: float
) -> Ints:
    """Return labels by position in the ordering. Arrays are in that order; `scales` are divided by `slope`."""
    n = len(plot)
    labels = np.full(n, -1)
    parents = np.arange(n)
    # At first each position is a valley. A valley has a range of positions, weighted sums over its points, a minimum
    # core distance (`depth`), and whether it contains separate clusters (`split`).
    first, last = np.arange(n), np.arange(n)
    weight = weights.copy()
    x, y, scale = weights * points[:, 0], weights * points[:, 1], weights * scales
    depth = depths.copy()
    split = np.zeros(n, np.bool_)
    label = 0
    for position in np.argsort(plot, kind="mergesort"):  # stable: equal peaks in order of position
        peak = plot[position]
        if math.isinf(peak):
            break
        a, b = _valley_of(parents, position - 1), _valley_of(parents, position)
        is_cluster_a = weight[a] >= min_weight and depth[a] <= contrast * peak
        is_cluster_b = weight[b] >= min_weight and depth[b] <= contrast * peak
        separate = split[a] or split[b]
        if not separate and is_cluster_a and is_cluster_b:
            distance = math.hypot(x[a] / weight[a] - x[b] / weight[b], y[a] / weight[a] - y[b] / weight[b])
            lighter = a if weight[a] < weight[b] else b
            separate = max(depth[a], depth[b]) * scale[lighter] <= peak * distance * weight[lighter]
        if separate:
            if is_cluster_a and not split[a]:
                labels[first[a] : last[a] + 1] = label
                label += 1
            if is_cluster_b and not split[b]:
                labels[first[b] : last[b] + 1] = label
                label += 1
        split[a] = separate
        parents[b] = a
        last[a] = last[b]
        weight[a] += weight[b]
        x[a] += x[b]
        y[a] += y[b]
        scale[a] += scale[b]
        depth[a] = min(depth[a], depth[b])
    for position in range(n):
        if (
            parents[position] == position
            and not split[position]
            and weight[position] >= min_weight
            and depth[position] < math.inf
        ):
            labels[first[position] : last[position] + 1] = label
            label += 1
    return labels
