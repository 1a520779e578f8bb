"""OPTICS for points in the plane (Ankerst, Breunig, Kriegel and Sander, SIGMOD 1999): exact, and fast for dense points.

OPTICS processes points like Prim's algorithm: the next point is always the unprocessed one of least reachability. A
processed core point p gives each unprocessed point q within `max_eps` the reachability max(core distance of p, distance
from p to q). It *improves* q if this is less than the reachability that q has so far.

The textbook makes these updates for all neighbours of a point when it processes the point. This takes quadratic time
where points are dense. Here the leaves of a k-d tree postpone the updates of their points:

- Each leaf has a `pending` distance. All updates of its processed points that give a reachability below this distance
  are done; the others are still pending. An inner node has the minimum of its children's distances.
- A pending update matters only if it can give a reachability at or below the present minimum over all unprocessed
  points. So a leaf waits until the least reachability has risen to its `pending` distance. Then it makes its updates up
  to `GROWTH` times that distance, which becomes its new `pending` distance.
- Once all points below an inner node are processed, one search finds the nearest point that any of them can improve. It
  may raise the `pending` distance of the whole node.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from multisigma.errors import MultisigmaError
from multisigma.instances.kdtree import STACK, X0, X1, Y0, Y1, Floats, Ints, build, kth_distances, squared_gap

GROWTH = 1.4
"""Factor by which a leaf's updates raise its `pending` distance."""

_POINT = np.dtype(  # a group of equal points, which share one place in the tree
    [
        ("x", "f8"),
        ("y", "f8"),
        ("limit", "f8"),  # no point at a larger squared distance can improve it; -1 if all copies are processed
        ("reach", "f8"),  # reachability of the next unprocessed copy
        ("core", "f8"),  # core distance, rounded
        ("rank", "i8"),  # position of the first copy in the ordering, -1 if unprocessed
        ("from_rank", "i8"),  # position of the predecessor in the ordering, -1 if there is none
        ("index", "i8"),  # input index of the next unprocessed copy, lowest first
        ("after", "i8"),  # position, in the list of members, of the copy after `index`
        ("end", "i8"),  # end of the group in that list
    ],
    align=True,
)
_NODE = np.dtype(
    [
        ("limit", "f8"),  # largest `limit` of its unprocessed points, -1 if none is left
        ("reach", "f8"),  # minimum over its unprocessed points
        ("index", "i8"),  # lowest input index of the points with that reachability
        ("point", "i8"),  # position of that point in the tree
        ("pending", "f8"),  # updates to a reachability below this are done
        ("core", "f8"),  # minimum core distance of its processed points
        ("floor", "f8"),  # lower bound of `pending`, from the last search for the whole node
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Ordering:
    """The cluster ordering of N points, with the attributes of `sklearn.cluster.OPTICS`.

    Args:
        ordering: Indices of the points in the order of processing; shape (N,).
        reachability: Reachability distance of each point, infinite if no earlier core point is within `max_eps`; shape
            (N,).
        core_distances: Distance from each point to its `min_samples`-th nearest point, the point itself counted.
            Infinite if that is above `max_eps`; shape (N,).
        predecessor: Index of the point from which each point was reached, -1 if its reachability is infinite; shape
            (N,).
    """

    ordering: Ints
    reachability: Floats
    core_distances: Floats
    predecessor: Ints


def optics(
    points: ArrayLike, min_samples: int, max_eps: float = math.inf, weights: ArrayLike | None = None
) -> Ordering:
    """Order points by density with OPTICS.

    The result equals that of `sklearn.cluster.OPTICS(metric="minkowski", p=2, algorithm="kd_tree")` bit for bit:
    distances are rounded to 15 decimals, and of points with equal reachability the one of lowest index comes first.
    There are two differences. Points exactly at `max_eps` are neighbours here; in scikit-learn this depends on how its
    tree splits. Fewer points than `min_samples` are an error in scikit-learn; here none of them is a core point.

    Distances are square roots of float64 squares, as in scikit-learn. Therefore points closer than 1.5e-162 count as
    equal, and points further apart than 1.3e154 never reach each other.

    The function releases the GIL. Its memory is linear in the number of points.

    Args:
        points: Finite coordinates, float or integer; shape (N, 2).
        min_samples: A point is a core point if at least this many points, itself counted, are within `max_eps`; at
            least 2.
        max_eps: Maximum distance between neighbours, in the points' unit.
        weights: Multiplicities, integers of at least 1; shape (N,). A point of weight w counts as w equal points, and
            it gets the result of the first copy. None for all 1.

    Raises:
        MultisigmaError: If an argument is not as described.

    Example:
        Two groups of points, 9 apart. The first point of the second group is reached from the first group:

        >>> from multisigma.instances import optics
        >>> order = optics([[0, 0], [0, 1], [1, 0], [10, 0], [10, 1]], min_samples=2)
        >>> order.ordering.tolist()
        [0, 1, 2, 3, 4]
        >>> order.reachability.tolist()
        [inf, 1.0, 1.0, 9.0, 1.0]
        >>> order.predecessor.tolist()
        [-1, 0, 0, 2, 3]
    """
    coordinates = _checked_points(points)
    multiplicity = _checked_weights(weights, len(coordinates))
    if isinstance(min_samples, bool) or not isinstance(min_samples, int | np.integer) or min_samples < 2:
        raise MultisigmaError(
            f"Parameter `min_samples` of OPTICS must be an integer of at least 2. Found {min_samples!r}."
        )
    if not max_eps > 0:
        raise MultisigmaError(f"Parameter `max_eps` of OPTICS must be positive. Found {max_eps}.")
    if not len(coordinates):
        return Ordering(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64))
    return Ordering(*_optics(coordinates, multiplicity, int(min_samples), float(max_eps)))


def _checked_points(points: ArrayLike) -> Floats:
    array = np.asarray(points)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != 2:
        raise MultisigmaError(
            "Parameter `points` of OPTICS must hold real numbers and have the shape (N, 2). "
            f"Found the shape {array.shape} and the type {array.dtype}."
        )
    # Adding zero turns -0.0 into 0.0: equal points are recognised by their bits.
    coordinates = array.astype(np.float64) + 0.0
    invalid = int((~np.isfinite(coordinates)).any(axis=1).sum())
    if invalid:
        raise MultisigmaError(
            f"Parameter `points` of OPTICS must be finite. Found {invalid} of {len(array)} not finite."
        )
    return coordinates


def _checked_weights(weights: ArrayLike | None, count: int) -> Ints:
    if weights is None:
        return np.ones(count, np.int64)
    array = np.asarray(weights)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise MultisigmaError(
            f"Parameter `weights` of OPTICS must hold integers and have the shape ({count},), one for each point. "
            f"Found the shape {array.shape} and the type {array.dtype}."
        )
    if count and array.min() < 1:
        raise MultisigmaError(f"Parameter `weights` of OPTICS must be at least 1. Found {array.min()}.")
    return array.astype(np.int64)


@njit(cache=True, nogil=True)
def _round(distance: float) -> float:
    """Round to 15 decimals with the operations of `numpy.around`."""
    return np.rint(distance * 1e15) / 1e15


@njit(cache=True, nogil=True)
def _squared_limit(reach: float) -> float:
    """Return a bound: where the squared distance exceeds it, the rounded distance exceeds `reach`."""
    limit = reach * (1 + 1e-12) + 2e-15
    return limit * limit


@njit(cache=True, nogil=True)
def merge_equal(points: Floats) -> tuple[Ints, int]:
    """Group equal points with a hash table.

    Returns:
        The group of each point, shape (n,), numbered in order of first appearance; the number of groups.
    """
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
    """Recompute a leaf's summary of its unprocessed points, which are those from `start` to `end`."""
    limit, reach, index, point = -1.0, math.inf, np.iinfo(np.int64).max, -1
    for t in range(start, end):
        p = points[t]
        limit = max(limit, p["limit"])
        if p["reach"] < reach or (p["reach"] == reach and p["index"] < index):
            reach, index, point = p["reach"], p["index"], t
    leaf = nodes[node]
    leaf["limit"], leaf["reach"], leaf["index"], leaf["point"] = limit, reach, index, point


@njit(cache=True, nogil=True)
def _refresh_above(nodes, node: int) -> None:  # type: ignore[no-untyped-def]
    """Update the ancestors' summaries of unprocessed points, up to the first that does not change."""
    while node > 0:
        node = (node - 1) // 2
        parent, one, other = nodes[node], nodes[2 * node + 1], nodes[2 * node + 2]
        limit = max(one["limit"], other["limit"])
        if other["reach"] < one["reach"] or (other["reach"] == one["reach"] and other["index"] < one["index"]):
            one = other
        if (
            parent["limit"] == limit
            and parent["point"] == one["point"]
            and parent["reach"] == one["reach"]
            and parent["index"] == one["index"]
        ):
            return
        parent["limit"] = limit
        parent["reach"], parent["index"], parent["point"] = one["reach"], one["index"], one["point"]


@njit(cache=True, nogil=True)
def _refresh_pending(nodes, node: int) -> None:  # type: ignore[no-untyped-def]
    """Update the ancestors' `pending` and core distances, up to the first that does not change."""
    while node > 0:
        node = (node - 1) // 2
        parent, one, other = nodes[node], nodes[2 * node + 1], nodes[2 * node + 2]
        bound = max(parent["floor"], min(one["pending"], other["pending"]))
        core = min(one["core"], other["core"])
        if parent["pending"] == bound and parent["core"] == core:
            return
        parent["pending"], parent["core"] = bound, core


@njit(cache=True, nogil=True)
def _nearest_improvable(nodes, points, boxes, starts, left, node: int, stack, gaps) -> float:  # type: ignore[no-untyped-def]
    """Return the distance from a node's box to the nearest point that its points may improve, or infinity."""
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
                if square < best and max(square, core) <= p["limit"]:
                    best = square
            continue
        one = 2 * v + 1
        near, far = squared_gap(box, boxes[one]), squared_gap(box, boxes[one + 1])
        other = one + 1
        if far < near:
            near, far = far, near
            one, other = other, one
        if far < best and max(far, core) <= nodes[other]["limit"]:
            stack[depth], gaps[depth] = other, far
            depth += 1
        if near < best and max(near, core) <= nodes[one]["limit"]:
            stack[depth], gaps[depth] = one, near
            depth += 1
    return math.sqrt(best)


@njit(cache=True, nogil=True)
def _improve(nodes, points, boxes, starts, left, box, core, radius, sources, stack, max_square) -> None:  # type: ignore[no-untyped-def]
    """Make the updates of the sources in all leaves within `radius` of `box`.

    Args:
        nodes: Nodes of the tree.
        points: Points of the tree.
        boxes: Boxes of the nodes.
        starts: First point of each leaf.
        left: Number of unprocessed points of each leaf. They come first in the leaf.
        box: A box that holds the sources.
        core: Minimum core distance of the sources.
        radius: Maximum distance of a leaf from the box.
        sources: Positions of the processed points whose updates are made.
        stack: Workspace of `STACK` entries.
        max_square: Square of `max_eps`.
    """
    leaves = len(left)
    max_gap = radius * (1 + 1e-9)
    max_gap *= max_gap
    core *= core
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        v = stack[depth]
        if v < leaves - 1:
            for child in range(2 * v + 1, 2 * v + 3):
                square = squared_gap(box, boxes[child])
                if square <= max_gap and max(square, core) <= nodes[child]["limit"]:
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
                if max(square, core_square) <= p["limit"] and square <= max_square:
                    reach = _round(max(math.sqrt(square), source_core))
                    if reach < p["reach"] or (reach == p["reach"] and rank < p["from_rank"]):
                        p["reach"], p["from_rank"], p["limit"] = reach, rank, _squared_limit(reach)
                        changed = True
        if changed:
            _refresh_leaf(nodes, points, v, start, end)
            _refresh_above(nodes, v)


@njit(cache=True, nogil=True)
def _optics(coordinates: Floats, weights: Ints, min_samples: int, max_eps: float) -> tuple[Ints, Floats, Floats, Ints]:
    """Compute the fields of an `Ordering`."""
    total = len(coordinates)
    group, n = merge_equal(coordinates)
    # List the members of each group, lowest index first.
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

    # Build the tree with all points unprocessed.
    order, starts, boxes = build(x, y)
    core_distances = kth_distances(x, y, weight[order], starts, boxes, min_samples)
    leaves = len(starts) - 1
    points = np.empty(n, _POINT)
    for t in range(n):
        p = points[t]
        g = order[t]
        core = core_distances[t]
        p["x"], p["y"], p["limit"], p["reach"] = x[t], y[t], math.inf, math.inf
        p["core"] = math.inf if core > max_eps else _round(core)
        p["rank"], p["from_rank"] = -1, -1
        p["index"], p["after"], p["end"] = members[begin[g]], begin[g] + 1, begin[g + 1]
    left = np.empty(leaves, np.int64)
    nodes = np.empty(2 * leaves - 1, _NODE)
    for v in range(2 * leaves - 2, -1, -1):
        node = nodes[v]
        node["pending"] = node["core"] = math.inf
        node["floor"] = 0.0
        if v >= leaves - 1:
            leaf = v - (leaves - 1)
            start, end = starts[leaf], starts[leaf + 1]
            left[leaf] = end - start
            _refresh_leaf(nodes, points, v, start, end)
        else:
            one = nodes[2 * v + 1]
            if nodes[2 * v + 2]["index"] < one["index"]:
                one = nodes[2 * v + 2]
            node["limit"], node["reach"], node["index"], node["point"] = math.inf, math.inf, one["index"], one["point"]

    ordering = np.empty(total, np.int64)
    reachability, cores = np.empty(total), np.empty(total)
    predecessor = np.empty(total, np.int64)
    stack, gaps = np.empty(STACK, np.int64), np.empty(STACK)
    sources = np.empty(n, np.int64)
    max_square = max_eps * max_eps
    # If the square of `max_eps` is subnormal, its rounding may let in points slightly beyond `max_eps`.
    horizon = max(max_eps, math.sqrt(max_square))
    root = nodes[0]
    for rank in range(total):
        # Make the updates that may give a reachability at or below the least one, smallest `pending` distance first.
        best = root["reach"]
        while root["pending"] < math.inf and _round(root["pending"]) <= best:
            v = 0
            while v < leaves - 1:
                v = 2 * v + 1
                if nodes[v + 1]["pending"] < nodes[v]["pending"]:
                    v += 1
            leaf = v - (leaves - 1)
            node = nodes[v]
            distance = _nearest_improvable(nodes, points, boxes, starts, left, v, stack, gaps)
            pending = max(max(distance, node["core"]), node["pending"])
            if pending > horizon:
                pending = math.inf
            if pending == math.inf or _round(pending) > best:
                node["pending"] = pending
                _refresh_pending(nodes, v)
                # If all points of an ancestor are processed, the same search may raise it as a whole.
                while v > 0:
                    v = (v - 1) // 2
                    node = nodes[v]
                    if node["limit"] >= 0:
                        break
                    distance = _nearest_improvable(nodes, points, boxes, starts, left, v, stack, gaps)
                    pending = max(max(distance, node["core"]), node["pending"])
                    if pending > horizon:
                        pending = math.inf
                    if pending < math.inf and _round(pending) <= best:
                        break
                    node["floor"] = node["pending"] = pending
                    _refresh_pending(nodes, v)
            else:
                # The constant makes progress even if `pending` is 0.
                radius = GROWTH * pending + 1e-14
                count = 0
                for t in range(starts[leaf], starts[leaf + 1]):
                    p = points[t]
                    if p["rank"] >= 0 and p["core"] <= radius:
                        sources[count] = t
                        count += 1
                used = sources[:count]
                _improve(nodes, points, boxes, starts, left, boxes[v], node["core"], radius, used, stack, max_square)
                node["pending"] = math.inf if radius > horizon else radius
                _refresh_pending(nodes, v)
            best = root["reach"]

        # Record the point of least reachability.
        t = root["point"]
        p = points[t]
        i = p["index"]
        ordering[rank], reachability[i], cores[i] = i, p["reach"], p["core"]
        predecessor[i] = -1 if p["from_rank"] < 0 else ordering[p["from_rank"]]

        # Mark it as processed. If it has unprocessed copies, the next one takes its place. The first copy may improve
        # it.
        leaf = (t * leaves + leaves - 1) // n
        while starts[leaf] > t:
            leaf -= 1
        while starts[leaf + 1] <= t:
            leaf += 1
        v = leaf + leaves - 1
        start = starts[leaf]
        is_first_copy = p["rank"] < 0
        core = p["core"]
        if is_first_copy:
            p["rank"] = rank
        if p["after"] < p["end"]:
            p["index"] = members[p["after"]]
            p["after"] += 1
            if is_first_copy and core < math.inf and _round(core) < p["reach"]:
                p["reach"], p["from_rank"] = _round(core), rank
                p["limit"] = _squared_limit(p["reach"])
        else:
            p["limit"] = -1.0
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

        # If `pending` is between this point's core distance and twice that, make its updates up to `pending` now.
        # Otherwise lower `pending` to the core distance, which postpones them.
        if is_first_copy and core < math.inf:
            node = nodes[v]
            if node["pending"] < math.inf and core <= node["pending"] <= 2 * core:
                here = points[t : t + 1]
                box = np.array([here[0]["x"], here[0]["x"], here[0]["y"], here[0]["y"]])
                sources[0] = t
                _improve(nodes, points, boxes, starts, left, box, core, node["pending"], sources[:1], stack, max_square)
            else:
                node["pending"] = min(node["pending"], core)
            node["core"] = min(node["core"], core)
            _refresh_pending(nodes, v)
    return ordering, reachability, cores, predecessor
