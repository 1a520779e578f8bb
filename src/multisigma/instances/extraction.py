"""Clusters out of an OPTICS ordering."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.instances.kdtree import Floats, Ints
from multisigma.instances.optics import Ordering

Bools = NDArray[np.bool_]


def dbscan_cut(order: Ordering, cut: float) -> Ints:
    """The clusters of a horizontal cut through the reachability plot, as `sklearn.cluster.cluster_optics_dbscan`.

    Args:
        order: What `optics` gave.
        cut: Depth of the cut, in the points' unit; at most the `max_eps` of the ordering for a meaningful result.

    Returns:
        Cluster of each point from 0, or -1; shape (N,).

    Raises:
        MultisigmaError: If `cut` is negative or not a number.
    """
    if not cut >= 0:
        raise MultisigmaError(f"The cut through a reachability plot should be at least 0. Found {cut}.")
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
    """The clusters between steep areas of the reachability plot, as `sklearn.cluster.cluster_optics_xi`.

    Figure 19 of Ankerst et al. (1999), with the predecessor correction of Schubert and Gertz (2018).

    Args:
        order: What `optics` gave, without weights.
        min_samples: That of the ordering; also how many points in a row may interrupt a steep area.
        xi: Least relative step of a steep point, from 0 to below 1.
        min_cluster_size: Least number of points of a cluster; None for `min_samples`.
        predecessor_correction: Whether a cluster's last points must be reached from within it.

    Returns:
        Smallest cluster of each point from 0, or -1, shape (N,); and the first and last place in the ordering of every
        cluster, nested ones before those around them, shape (K, 2).

    Raises:
        MultisigmaError: If an argument is not as described.
    """
    size = min_samples if min_cluster_size is None else min_cluster_size
    for name, value in (("min_samples", min_samples), ("min_cluster_size", size)):
        if value < 2:
            raise MultisigmaError(f"`{name}` of the xi extraction should be at least 2. Found {value}.")
    if not 0 <= xi < 1:
        raise MultisigmaError(f"`xi` should be from 0 to below 1. Found {xi}.")
    plot = np.append(order.reachability[order.ordering], math.inf)
    place = np.empty(len(order.ordering), np.int64)
    place[order.ordering] = np.arange(len(place))
    before = order.predecessor[order.ordering]
    before_place = np.where(before < 0, -1, place[before])
    clusters = _xi_clusters(plot, before_place, 1 - xi, min_samples, size, predecessor_correction)
    labels = np.empty_like(place)
    labels[order.ordering] = _innermost(clusters, len(place))
    return labels, clusters


@njit(cache=True, nogil=True)
def _end_of_steep(steep: Bools, opposite: Bools, start: int, min_samples: int) -> int:
    """Last point of the steep area that begins at `start`."""
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
    """Keeps the steep down areas whose start is still xi above the `peak` since; returns their number."""
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
    plot: Floats, before_place: Ints, rest: float, min_samples: int, min_cluster_size: int, correction: bool
) -> Ints:
    """The clusters (K, 2), where `rest` is 1 - xi and `plot` ends with an infinite value."""
    n = len(plot) - 1
    ratio = np.empty(n)
    for i in range(n):
        # As NumPy divides: 0 / 0 and inf / inf are no number, and compare false.
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
        for d in range(areas - 1, -1, -1):  # small clusters first
            start, end = starts[d], up_end
            after, top = plot[up_end + 1], plot[starts[d]]
            if after * rest < highest[d]:
                continue
            # Definition 11, criterion 4: begin and end at the same level.
            if top * rest >= after:
                while plot[start + 1] > after and start < ends[d]:
                    start += 1
            elif after * rest >= top:
                while plot[end - 1] > top and end > steep:
                    end -= 1
            if correction:
                while start < end and not (plot[start] > plot[end] or start <= before_place[end] < end):
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
    """The cluster of each place that contains no smaller one, numbered as they come."""
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
    """The clusters of the tree that lies in a reachability plot, each at the density that sets it apart.

    A level that rises through the plot joins valleys at the peaks between them. Of two valleys that meet at a peak of
    reachability h, with the least core distance m of the shallower one, a distance d of their means, and the mean
    scale s of the lighter one, the two are clusters of their own if

        m / h <= min(contrast, slope * d / s),

    and one cluster otherwise. So no depth is fixed: small dense clusters and large thin ones are found in one plot, and
    pieces of one cluster, which lie near each other for their scale, need a deep valley each to be taken apart. For
    centroid votes the scale is the vector's length: a vote errs in proportion to it, and two objects of a size that are
    nearer to each other than their pixels are to the centroid hide each other. The cut at a share of the peak is that
    of Sander, Qin, Lu, Niu and Kovarsky (PAKDD 2003); the share that depends on distance and scale is this project's.

    Args:
        order: What `optics` gave; what it did not reach is not joined.
        points: The points, shape (N, 2).
        scales: Scale of each point, in the points' unit; shape (N,).
        weights: Multiplicities, shape (N,); None for all 1.
        contrast: Greatest m / h, above 0 and at most 1.
        slope: How fast it grows with the distance; above 0.
        min_weight: Least weight of a cluster.
        resolution: Core distances below this are taken for it, such as the grid that points were pooled on.

    Returns:
        Cluster of each point from 0, or -1; shape (N,).

    Raises:
        MultisigmaError: If `contrast` or `slope` is out of its range.
    """
    if not 0 < contrast <= 1:
        raise MultisigmaError(f"The contrast of tree clusters should be above 0 and at most 1. Found {contrast}.")
    if not slope > 0:
        raise MultisigmaError(f"The slope of tree clusters should be above 0. Found {slope}.")
    places = order.ordering
    weight = np.ones(len(places)) if weights is None else weights[places].astype(np.float64)
    labels = np.empty(len(places), np.int64)
    depths = np.maximum(order.core_distances[places], resolution)
    labels[places] = _tree_clusters(
        order.reachability[places], depths, points[places], scales[places] / slope, weight, contrast, min_weight
    )
    return labels


@njit(cache=True, nogil=True)
def _valley_of(parents: Ints, place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


@njit(cache=True, nogil=True)
def _tree_clusters(
    plot: Floats, depths: Floats, points: Floats, scales: Floats, weights: Floats, contrast: float, min_weight: float
) -> Ints:
    """Labels by place in the ordering; all arguments are in that order."""
    n = len(plot)
    labels = np.full(n, -1)
    parents = np.arange(n)
    # Of each valley: its places, sums over its points, its depth, and whether it holds clusters already.
    first, last = np.arange(n), np.arange(n)
    weight = weights.copy()
    x, y, scale = weights * points[:, 0], weights * points[:, 1], weights * scales
    depth = depths.copy()
    divided = np.zeros(n, np.bool_)
    label = 0
    for place in np.argsort(plot, kind="mergesort"):  # stable: of equal peaks the first is joined first
        peak = plot[place]
        if math.isinf(peak):
            break
        a, b = _valley_of(parents, place - 1), _valley_of(parents, place)
        stands_a = weight[a] >= min_weight and depth[a] <= contrast * peak
        stands_b = weight[b] >= min_weight and depth[b] <= contrast * peak
        apart = divided[a] or divided[b]
        if not apart and stands_a and stands_b:
            distance = math.hypot(x[a] / weight[a] - x[b] / weight[b], y[a] / weight[a] - y[b] / weight[b])
            lighter = a if weight[a] < weight[b] else b
            apart = max(depth[a], depth[b]) * scale[lighter] <= peak * distance * weight[lighter]
        if apart:
            if stands_a and not divided[a]:
                labels[first[a] : last[a] + 1] = label
                label += 1
            if stands_b and not divided[b]:
                labels[first[b] : last[b] + 1] = label
                label += 1
        divided[a] = apart
        parents[b] = a
        last[a] = last[b]
        weight[a] += weight[b]
        x[a] += x[b]
        y[a] += y[b]
        scale[a] += scale[b]
        depth[a] = min(depth[a], depth[b])
    for place in range(n):
        if parents[place] == place and not divided[place] and weight[place] >= min_weight and depth[place] < math.inf:
            labels[first[place] : last[place] + 1] = label
            label += 1
    return labels
