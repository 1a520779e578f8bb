"""OPTICS (Ankerst, Breunig, Kriegel and Sander, SIGMOD 1999), exactly, for points in the plane.

The order is Prim's: always next the unprocessed point that is reached from the processed ones at the least distance.
The textbook improves every neighbour of every processed point at once, which is quadratic where votes are dense. Here
a k-d tree defers that work. Each leaf remembers the least distance at which one of its processed points may still
improve an unprocessed one; each node the least of its leaves, and the least reachability of its unprocessed points.
A leaf is worked on only when its bound is not above the best reachability, and then only a little further than the
bound. Where everything near is processed or reached by less, one search raises the bound of a whole subtree.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from multisigma.errors import MultisigmaError
from multisigma.instances.kdtree import STACK, X0, X1, Y0, Y1, Floats, Ints, build, gap, kth_distances

GROWTH = 1.4
"""How much further than its bound a leaf is worked on."""

_POINT = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("worth", "f8"),  # squared distance from which no point can improve this one; -1 once processed
        ("reach", "f8"),
        ("core", "f8"),
        ("rank", "i8"),  # place in the ordering of the first copy, or -1
        ("from_rank", "i8"),  # place in the ordering of the predecessor, or -1
        ("index", "i8"),  # lowest unprocessed index of the equal points that this one stands for
        ("after", "i8"),  # where the next of them is listed
        ("end", "i8"),
    ],
    align=True,
)
_NODE = np.dtype(
    [
        ("worth", "f8"),  # greatest of its unprocessed points, -1 if there is none
        ("reach", "f8"),  # least of its unprocessed points
        ("index", "i8"),  # lowest of those at that reachability
        ("point", "i8"),  # where that one is
        ("bound", "f8"),  # least distance at which a processed point in it may still improve an unprocessed one
        ("core", "f8"),  # least core distance of its processed points
        ("lifted", "f8"),  # a bound found for the node as a whole
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Ordering:
    """The cluster ordering of N points; scikit-learn's attributes of the same names.

    Args:
        ordering: The points in the order in which they were processed; shape (N,).
        reachability: Distance at which each point was reached, infinite for the first of each component; shape (N,).
        core_distances: Distance from each point to its `min_samples`-th nearest, itself counted, infinite if that is
            above `max_eps`; shape (N,).
        predecessor: The point from which each was reached, -1 for the first of each component; shape (N,).
    """

    ordering: Ints
    reachability: Floats
    core_distances: Floats
    predecessor: Ints


def optics(
    points: ArrayLike, min_samples: int, max_eps: float = math.inf, weights: ArrayLike | None = None
) -> Ordering:
    """Orders points as `sklearn.cluster.OPTICS(metric="minkowski", p=2, algorithm="kd_tree")` does, bit for bit.

    Ties go to the lower index, and distances are rounded to 15 decimals. Two differences: points exactly at `max_eps`
    are neighbours here, while scikit-learn decides them by squared or by plain distance, as its tree happens to split;
    and fewer points than `min_samples` are no error: none is a core point then.

    Distances are roots of squares in float64, as in scikit-learn: points closer than 1.5e-162 to each other count as
    equal, and points further apart than 1.3e154 do not reach each other.

    Releases the GIL; memory is linear in the number of points.

    Args:
        points: Coordinates, finite; shape (N, 2), float or integer.
        min_samples: Points within the core distance of a point, itself counted; at least 2.
        max_eps: Greatest distance at which one point reaches another.
        weights: Multiplicities, integers of at least 1; shape (N,). A point of weight w counts as w equal points; what
            is returned for it belongs to the first of them. None for all 1.

    Raises:
        MultisigmaError: If an argument is not as described.
    """
    coordinates = _checked_points(points)
    multiplicity = _checked_weights(weights, len(coordinates))
    if isinstance(min_samples, bool) or not isinstance(min_samples, int | np.integer) or min_samples < 2:
        raise MultisigmaError(f"`min_samples` of OPTICS should be an integer of at least 2. Found {min_samples!r}.")
    if not max_eps > 0:
        raise MultisigmaError(f"`max_eps` of OPTICS should be above 0. Found {max_eps}.")
    if not len(coordinates):
        return Ordering(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64))
    return Ordering(*_optics(coordinates, multiplicity, int(min_samples), float(max_eps)))


def _checked_points(points: ArrayLike) -> Floats:
    array = np.asarray(points)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != 2:
        raise MultisigmaError(
            "The points of OPTICS should be numbers of the shape (N, 2). "
            f"Found the shape {array.shape} and the type {array.dtype}."
        )
    # Minus zero becomes zero: equal points are found by their bits.
    coordinates = array.astype(np.float64) + 0.0
    broken = int((~np.isfinite(coordinates)).any(axis=1).sum())
    if broken:
        raise MultisigmaError(f"The points of OPTICS should be finite. Found {broken} of {len(array)} that are not.")
    return coordinates


def _checked_weights(weights: ArrayLike | None, count: int) -> Ints:
    if weights is None:
        return np.ones(count, np.int64)
    array = np.asarray(weights)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise MultisigmaError(
            f"The weights of OPTICS should be integers of the shape ({count},), one for each point. "
            f"Found the shape {array.shape} and the type {array.dtype}."
        )
    if count and array.min() < 1:
        raise MultisigmaError(f"The weights of OPTICS should be at least 1. Found {array.min()}.")
    return array.astype(np.int64)


@njit(cache=True, nogil=True)
def _round(distance: float) -> float:
    """To 15 decimals, by the operations of `numpy.around`."""
    return np.rint(distance * 1e15) / 1e15


@njit(cache=True, nogil=True)
def _worth(reach: float) -> float:
    """Squared distance above which no distance, rounded, is at most `reach`."""
    limit = reach * (1 + 1e-12) + 2e-15
    return limit * limit


@njit(cache=True, nogil=True)
def merge_equal(points: Floats) -> tuple[Ints, int]:
    """The group of equal points of each point, numbered by their first; and how many groups there are."""
    n = len(points)
    bits = points.view(np.uint64)
    size = 16
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int64)
    first = np.empty(n, np.int64)
    group = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        a, b = bits[i, 0], bits[i, 1]
        key = a * np.uint64(0x9E3779B97F4A7C15) ^ b * np.uint64(0xC2B2AE3D27D4EB4F)
        key ^= key >> np.uint64(29)
        key *= np.uint64(0xBF58476D1CE4E5B9)
        slot = np.int64(key >> np.uint64(20)) & (size - 1)
        while True:
            other = table[slot]
            if other < 0:
                table[slot] = count
                first[count] = i
                group[i] = count
                count += 1
                break
            j = first[other]
            if bits[j, 0] == a and bits[j, 1] == b:
                group[i] = other
                break
            slot = (slot + 1) & (size - 1)
    return group, count


@njit(cache=True, nogil=True)
def _refresh_leaf(nodes, points, node: int, start: int, end: int) -> None:  # type: ignore[no-untyped-def]
    """What a leaf knows of its unprocessed points, start to end."""
    worth, reach, index, point = -1.0, math.inf, np.iinfo(np.int64).max, -1
    for t in range(start, end):
        p = points[t]
        worth = max(worth, p["worth"])
        if p["reach"] < reach or (p["reach"] == reach and p["index"] < index):
            reach, index, point = p["reach"], p["index"], t
    leaf = nodes[node]
    leaf["worth"], leaf["reach"], leaf["index"], leaf["point"] = worth, reach, index, point


@njit(cache=True, nogil=True)
def _refresh_above(nodes, node: int) -> None:  # type: ignore[no-untyped-def]
    """Carries a leaf's unprocessed points up to the first node that they do not change."""
    while node > 0:
        node = (node - 1) // 2
        parent, one, other = nodes[node], nodes[2 * node + 1], nodes[2 * node + 2]
        worth = max(one["worth"], other["worth"])
        if other["reach"] < one["reach"] or (other["reach"] == one["reach"] and other["index"] < one["index"]):
            one = other
        if (
            parent["worth"] == worth
            and parent["point"] == one["point"]
            and parent["reach"] == one["reach"]
            and parent["index"] == one["index"]
        ):
            return
        parent["worth"] = worth
        parent["reach"], parent["index"], parent["point"] = one["reach"], one["index"], one["point"]


@njit(cache=True, nogil=True)
def _rebound(nodes, node: int) -> None:  # type: ignore[no-untyped-def]
    """Carries a node's bound and core distance up to the first node that they do not change."""
    while node > 0:
        node = (node - 1) // 2
        parent, one, other = nodes[node], nodes[2 * node + 1], nodes[2 * node + 2]
        bound = max(parent["lifted"], min(one["bound"], other["bound"]))
        core = min(one["core"], other["core"])
        if parent["bound"] == bound and parent["core"] == core:
            return
        parent["bound"], parent["core"] = bound, core


@njit(cache=True, nogil=True)
def _nearest_worthwhile(nodes, points, boxes, starts, left, node: int, stack, gaps) -> float:  # type: ignore[no-untyped-def]
    """Least distance from a node's box to an unprocessed point that its processed points might improve."""
    leaves = len(left)
    box = boxes[node]
    core = nodes[node]["core"]
    core *= core
    best = math.inf
    stack[0], gaps[0] = 0, 0.0
    depth = 1
    while depth > 0:
        depth -= 1
        v = stack[depth]
        if gaps[depth] >= best:
            continue
        if v >= leaves - 1:
            leaf = v - (leaves - 1)
            start = starts[leaf]
            for t in range(start, start + left[leaf]):
                p = points[t]
                dx = max(max(box[X0] - p["x"], p["x"] - box[X1]), 0.0)
                dy = max(max(box[Y0] - p["y"], p["y"] - box[Y1]), 0.0)
                square = dx * dx + dy * dy
                if square < best and max(square, core) <= p["worth"]:
                    best = square
            continue
        one = 2 * v + 1
        near, far = gap(box, boxes[one]), gap(box, boxes[one + 1])
        other = one + 1
        if far < near:
            near, far = far, near
            one, other = other, one
        if far < best and max(far, core) <= nodes[other]["worth"]:
            stack[depth], gaps[depth] = other, far
            depth += 1
        if near < best and max(near, core) <= nodes[one]["worth"]:
            stack[depth], gaps[depth] = one, near
            depth += 1
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _improve(nodes, points, boxes, starts, left, box, core, radius, sources, stack, farthest) -> None:  # type: ignore[no-untyped-def]
    """Improves the unprocessed points of all leaves within `radius` of `box` from the processed points `sources`.

    Args:
        core: Least core distance of the sources.
        farthest: Square of `max_eps`.
    """
    leaves = len(left)
    limit = radius * (1 + 1e-9)
    limit *= limit
    core *= core
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        v = stack[depth]
        if v < leaves - 1:
            for child in range(2 * v + 1, 2 * v + 3):
                square = gap(box, boxes[child])
                if square <= limit and max(square, core) <= nodes[child]["worth"]:
                    stack[depth] = child
                    depth += 1
            continue
        leaf = v - (leaves - 1)
        start = starts[leaf]
        end = start + left[leaf]
        changed = False
        for s in sources:
            source = points[s]
            x, y, source_core, rank = source["x"], source["y"], source["core"], source["rank"]
            core_square = source_core * source_core
            for t in range(start, end):
                p = points[t]
                dx, dy = p["x"] - x, p["y"] - y
                square = dx * dx + dy * dy
                if max(square, core_square) <= p["worth"] and square <= farthest:
                    reach = _round(max(math.sqrt(square), source_core))
                    if reach < p["reach"] or (reach == p["reach"] and rank < p["from_rank"]):
                        p["reach"], p["from_rank"], p["worth"] = reach, rank, _worth(reach)
                        changed = True
        if changed:
            _refresh_leaf(nodes, points, v, start, end)
            _refresh_above(nodes, v)


@njit(cache=True, nogil=True)
def _optics(coordinates: Floats, weights: Ints, min_samples: int, max_eps: float) -> tuple[Ints, Floats, Floats, Ints]:
    total = len(coordinates)
    group, n = merge_equal(coordinates)
    # The members of each group, lowest index first.
    begin = np.zeros(n + 1, np.int64)
    weight = np.zeros(n, np.int64)
    x, y = np.empty(n), np.empty(n)
    for i in range(total):
        g = group[i]
        begin[g + 1] += 1
        weight[g] += weights[i]
        x[g], y[g] = coordinates[i]
    begin = np.cumsum(begin)
    members = np.empty(total, np.int64)
    fill = begin.copy()
    for i in range(total):
        members[fill[group[i]]] = i
        fill[group[i]] += 1

    order, starts, boxes = build(x, y)
    core_distances = kth_distances(x, y, weight[order], starts, boxes, min_samples)

    leaves = len(starts) - 1
    points = np.empty(n, _POINT)
    for t in range(n):
        p = points[t]
        g = order[t]
        core = core_distances[t]
        p["x"], p["y"], p["worth"], p["reach"] = x[t], y[t], math.inf, math.inf
        p["core"] = math.inf if core > max_eps else _round(core)
        p["rank"], p["from_rank"] = -1, -1
        p["index"], p["after"], p["end"] = members[begin[g]], begin[g] + 1, begin[g + 1]
    left = np.empty(leaves, np.int64)
    nodes = np.empty(2 * leaves - 1, _NODE)
    for v in range(2 * leaves - 2, -1, -1):
        node = nodes[v]
        node["bound"] = node["core"] = math.inf
        node["lifted"] = 0.0
        if v >= leaves - 1:
            leaf = v - (leaves - 1)
            start, end = starts[leaf], starts[leaf + 1]
            left[leaf] = end - start
            _refresh_leaf(nodes, points, v, start, end)
        else:
            one = nodes[2 * v + 1]
            if nodes[2 * v + 2]["index"] < one["index"]:
                one = nodes[2 * v + 2]
            node["worth"], node["reach"], node["index"], node["point"] = math.inf, math.inf, one["index"], one["point"]

    ordering = np.empty(total, np.int64)
    reachability, cores = np.empty(total), np.empty(total)
    predecessor = np.empty(total, np.int64)
    stack, gaps = np.empty(STACK, np.int64), np.empty(STACK)
    sources = np.empty(n, np.int64)
    farthest = max_eps * max_eps
    # Where that square is subnormal, rounding may put neighbours beyond `max_eps` itself.
    horizon = max(max_eps, math.sqrt(farthest))
    root = nodes[0]
    for place in range(total):
        best = root["reach"]
        while root["bound"] < math.inf and _round(root["bound"]) <= best:
            v = 0
            while v < leaves - 1:
                v = 2 * v + 1
                if nodes[v + 1]["bound"] < nodes[v]["bound"]:
                    v += 1
            distance = _nearest_worthwhile(nodes, points, boxes, starts, left, v, stack, gaps)
            leaf = v - (leaves - 1)
            node = nodes[v]
            bound = max(max(distance, node["core"]), node["bound"])
            if bound > horizon:
                bound = math.inf
            if bound == math.inf or _round(bound) > best:
                # Nothing to do at this distance; perhaps nor for the nodes above.
                node["bound"] = bound
                _rebound(nodes, v)
                while v > 0:
                    v = (v - 1) // 2
                    node = nodes[v]
                    if node["worth"] >= 0:
                        break
                    distance = _nearest_worthwhile(nodes, points, boxes, starts, left, v, stack, gaps)
                    bound = max(max(distance, node["core"]), node["bound"])
                    if bound > horizon:
                        bound = math.inf
                    if bound < math.inf and _round(bound) <= best:
                        break
                    node["lifted"] = node["bound"] = bound
                    _rebound(nodes, v)
            else:
                # The constant moves on where distances vanish in the rounding.
                radius = GROWTH * max(bound, node["bound"]) + 1e-14
                count = 0
                for t in range(starts[leaf], starts[leaf + 1]):
                    p = points[t]
                    if p["rank"] >= 0 and p["core"] <= radius:
                        sources[count] = t
                        count += 1
                _improve(
                    nodes, points, boxes, starts, left, boxes[v], node["core"], radius, sources[:count], stack, farthest
                )
                node["bound"] = math.inf if radius > horizon else radius
                _rebound(nodes, v)
            best = root["reach"]

        t = root["point"]
        p = points[t]
        i = p["index"]
        ordering[place], reachability[i], cores[i] = i, p["reach"], p["core"]
        predecessor[i] = -1 if p["from_rank"] < 0 else ordering[p["from_rank"]]
        leaf = (t * leaves + leaves - 1) // n
        while starts[leaf] > t:
            leaf -= 1
        while starts[leaf + 1] <= t:
            leaf += 1
        v = leaf + leaves - 1
        start = starts[leaf]
        fresh = p["rank"] < 0
        core = p["core"]
        if fresh:
            p["rank"] = place
        if p["after"] < p["end"]:
            p["index"] = members[p["after"]]
            p["after"] += 1
            if fresh and core < math.inf and _round(core) < p["reach"]:
                p["reach"], p["from_rank"] = _round(core), place
                p["worth"] = _worth(p["reach"])
        else:
            p["worth"] = -1.0
            left[leaf] -= 1
            last = start + left[leaf]
            if last != t:
                swap = np.empty(1, _POINT)
                swap[0] = points[t]
                points[t] = points[last]
                points[last] = swap[0]
                t = last
        _refresh_leaf(nodes, points, v, start, start + left[leaf])
        _refresh_above(nodes, v)
        if fresh and core < math.inf:
            node = nodes[v]
            if node["bound"] < math.inf and core <= node["bound"] <= 2 * core:
                # As far as the leaf's other points have come.
                here = points[t : t + 1]
                box = np.array([here[0]["x"], here[0]["x"], here[0]["y"], here[0]["y"]])
                sources[0] = t
                _improve(nodes, points, boxes, starts, left, box, core, node["bound"], sources[:1], stack, farthest)
            else:
                node["bound"] = min(node["bound"], core)
            node["core"] = min(node["core"], core)
            _rebound(nodes, v)
    return ordering, reachability, cores, predecessor
