"""A balanced k-d tree of points in the plane, and k-th nearest distances from it.

The tree is complete: node v has the children 2v + 1 and 2v + 2. The points are sorted so that each leaf holds a
contiguous range: leaf j of L holds the points from n * j // L up to, not including, n * (j + 1) // L.

The results are exact because the computed distance to a box is never above the computed distance to a point in the box.
Both use the same floating-point operations, and rounding keeps the order of numbers. `fastmath` would break this.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAF_SIZE = 12
"""Maximum number of points in a leaf."""
NEIGHBOURS = 6
"""A point's k-th distance is bounded by those of this many points before it."""
STACK = 128
"""Size of the stack of a search: two nodes for each of at most 64 levels."""
X0, X1, Y0, Y1 = range(4)
"""Columns of a box: minimum and maximum x, minimum and maximum y."""


@njit(cache=True, nogil=True)
def leaf_count(n: int) -> int:
    """Return the number of leaves of a tree of n points, a power of two."""
    leaves = 1
    while leaves * LEAF_SIZE < n:
        leaves *= 2
    return leaves


@njit(cache=True, nogil=True)
def _split(keys: Floats, others: Floats, order: Ints, start: int, end: int, middle: int) -> None:
    """Reorder the entries from start to end by quickselect, so that no key before `middle` is above a later one.

    `others` and `order` are reordered in the same way.
    """
    low, high = start, end - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) // 2], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                others[i], others[j] = others[j], others[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@njit(cache=True, nogil=True)
def build(x: Floats, y: Floats) -> tuple[Ints, Ints, Floats]:
    """Build the tree of the points x, y, shape (n,), which are sorted in place by leaf.

    Returns:
        The original index of each sorted point, shape (n,); the first point of each leaf followed by n, shape
        (leaves + 1,); the bounding box of each node, shape (2 * leaves - 1, 4).
    """
    n = len(x)
    leaves = leaf_count(n)
    order = np.arange(n)
    boxes = np.empty((2 * leaves - 1, 4))
    width = leaves  # number of leaves below each node of this level
    node = 0
    while width >= 1:
        for index in range(leaves // width):
            start, end = n * index * width // leaves, n * (index + 1) * width // leaves
            x0 = y0 = math.inf
            x1 = y1 = -math.inf
            for t in range(start, end):
                x0, x1, y0, y1 = min(x0, x[t]), max(x1, x[t]), min(y0, y[t]), max(y1, y[t])
            boxes[node, X0], boxes[node, X1], boxes[node, Y0], boxes[node, Y1] = x0, x1, y0, y1
            node += 1
            if width > 1:
                middle = n * (2 * index + 1) * (width // 2) // leaves
                if x1 - x0 > y1 - y0:
                    _split(x, y, order, start, end, middle)
                else:
                    _split(y, x, order, start, end, middle)
        width //= 2
    return order, n * np.arange(leaves + 1) // leaves, boxes


@njit(cache=True, nogil=True)
def squared_gap(one: Floats, other: Floats) -> float:
    """Return the squared distance between two boxes, 0 if they overlap."""
    dx = max(max(other[X0] - one[X1], one[X0] - other[X1]), 0.0)
    dy = max(max(other[Y0] - one[Y1], one[Y0] - other[Y1]), 0.0)
    return dx * dx + dy * dy


@njit(cache=True, nogil=True)
def _keep_nearest(squares: Floats, weights: Ints, count: int, k: int) -> int:
    """Select the fewest nearest candidates whose total weight is at least k, by a weighted quickselect.

    Args:
        squares: Squared distances of the candidates in the first `count` entries; reordered in place.
        weights: Their multiplicities; reordered in the same way.
        count: Number of candidates.
        k: Total weight that is needed.

    Returns:
        Number of selected candidates. They come first, and the farthest is the last of them. 0 if all candidates
        together weigh less than k.
    """
    low, high, before = 0, count - 1, 0  # `before` is the total weight of the candidates before `low`
    while low < high:
        a, b, c = squares[low], squares[(low + high) // 2], squares[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j, weight = low, high, before
        while i <= j:
            while squares[i] < pivot:
                weight += weights[i]
                i += 1
            while squares[j] > pivot:
                j -= 1
            if i <= j:
                squares[i], squares[j] = squares[j], squares[i]
                weights[i], weights[j] = weights[j], weights[i]
                weight += weights[i]
                i += 1
                j -= 1
        # Candidates low..j are at most the pivot, i..high at least the pivot. `weight` is the total weight before i.
        if i - j == 2:
            if weight - weights[i - 1] >= k:
                high = j
            elif weight >= k:
                return i
            else:
                low, before = i, weight
        elif weight >= k:
            high = j
        else:
            low, before = i, weight
    if low < count and before + weights[low] >= k:
        return low + 1
    return 0


@njit(cache=True, nogil=True)
def kth_distances(x: Floats, y: Floats, weights: Ints, starts: Ints, boxes: Floats, k: int) -> Floats:
    """Return the distance from each point to its k-th nearest point.

    A point counts as its own neighbour, and a point of weight w counts w times.

    Args:
        x: The x of the points, sorted by `build`; shape (n,).
        y: The y of the points, sorted by `build`; shape (n,).
        weights: Multiplicities of the sorted points; shape (n,).
        starts: First point of each leaf, from `build`.
        boxes: Boxes of the nodes, from `build`.
        k: Rank of the neighbour, at least 1.

    Returns:
        Distances, shape (n,); all infinite if the total weight is below k.
    """
    n = len(x)
    leaves = len(starts) - 1
    distances = np.full(n, math.inf)
    if weights.sum() < k:
        return distances
    room = 2 * k + 64  # number of candidates at which the far ones are dropped
    squares, multiplicity = np.empty(room + LEAF_SIZE), np.empty(room + LEAF_SIZE, np.int64)
    nodes, gaps = np.empty(STACK, np.int64), np.empty(STACK)
    for t in range(n):
        xt, yt = x[t], y[t]
        if weights[t] >= k:
            distances[t] = 0.0
            continue
        bound = math.inf
        for u in range(max(t - NEIGHBOURS, 0), t):
            dx, dy = xt - x[u], yt - y[u]
            bound = min(bound, distances[u] + math.sqrt(dx * dx + dy * dy))
        # By the triangle inequality, this bounds the k-th distance. The factor covers rounding.
        bound *= 1 + 1e-9
        bound *= bound
        kept = 0
        while kept == 0:
            found = 0
            nodes[0], gaps[0] = 0, 0.0
            depth = 1
            while depth > 0:
                depth -= 1
                if gaps[depth] > bound:
                    continue
                node = nodes[depth]
                while node < leaves - 1:
                    one = 2 * node + 1
                    dx = max(max(boxes[one, X0] - xt, xt - boxes[one, X1]), 0.0)
                    dy = max(max(boxes[one, Y0] - yt, yt - boxes[one, Y1]), 0.0)
                    near = dx * dx + dy * dy
                    dx = max(max(boxes[one + 1, X0] - xt, xt - boxes[one + 1, X1]), 0.0)
                    dy = max(max(boxes[one + 1, Y0] - yt, yt - boxes[one + 1, Y1]), 0.0)
                    far = dx * dx + dy * dy
                    node, other = one, one + 1
                    if far < near:
                        near, far = far, near
                        node, other = other, node
                    if far <= bound:
                        nodes[depth], gaps[depth] = other, far
                        depth += 1
                    if near > bound:
                        node = -1
                        break
                if node < 0:
                    continue
                leaf = node - (leaves - 1)
                for u in range(starts[leaf], starts[leaf + 1]):
                    dx, dy = x[u] - xt, y[u] - yt
                    square = dx * dx + dy * dy
                    squares[found] = square
                    multiplicity[found] = weights[u]
                    found += square <= bound
                if found >= room:
                    kept = _keep_nearest(squares, multiplicity, found, k)
                    found = kept
                    bound = squares[kept - 1]
            kept = _keep_nearest(squares, multiplicity, found, k)
            if kept == 0:
                # If squares underflow, the bound may be too low. Search again without it.
                bound = math.inf
        distances[t] = math.sqrt(squares[kept - 1])
    return distances
