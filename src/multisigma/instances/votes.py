"""Instances from votes for their centroids (Kendall, Gal and Cipolla 2018, section 4 and figure 3).

Each pixel of an instance class has a vector to the centroid of its instance. The point where it ends is the pixel's
vote. OPTICS (Ankerst et al. 1999) orders the votes by density, clusters are extracted from the ordering, and each pixel
is assigned to a cluster. If an occluder splits an instance, its parts still vote for one point and stay one instance.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.instances.extraction import Bools, dbscan_cut, tree_clusters, xi_clusters
from multisigma.instances.kdtree import Floats, Ints
from multisigma.instances.optics import merge_equal, optics

_LONGEST: Final = 1e50
# Largest imbalance of an instance; largest enclosure of one whose imbalance is larger, and of one that the second
# clustering found.
_IMBALANCE: Final = 0.35
_STRIP: Final = 0.8
_SMALL: Final = 0.5

Extraction = Literal["tree", "cut", "xi"]
Assignment = Literal["nearest", "noise", "near", "clusters"]


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """How votes become instances.

    The defaults are for frames of 1024x2048 and were chosen by measurement (docs/instances.md). `for_height` returns
    defaults for other sizes, and `paper` the settings that follow the paper literally.

    Args:
        grid: Cell size in pixels of the grid on which votes are pooled before clustering. Votes in one cell become one
            point: their mean, with their number as its weight. 0 turns pooling off.
        min_samples: The `min_samples` of `optics`, at least 2. A vote is a core point if at least this many votes,
            itself included, are within `max_eps`.
        max_eps: The `max_eps` of `optics`, in pixels. Votes further apart are no neighbours.
        extraction: How clusters are extracted from the ordering. 'tree' merges the valleys of the reachability plot
            (`tree_clusters`); 'cut' cuts the plot at one depth (`dbscan_cut`); 'xi' takes the valleys between steep
            slopes (`xi_clusters`) and needs `grid=0`.
        contrast: The `contrast` of `tree_clusters`.
        slope: The `slope` of `tree_clusters`.
        cut: The `cut` of `dbscan_cut`, in pixels.
        xi: The `xi` of `xi_clusters`.
        assignment: How pixels are assigned to instances. 'nearest' assigns each pixel to the cluster whose centre is
            nearest to its vote, as the paper does. The other rules assign a pixel to the cluster that holds its vote.
            They differ in the noise votes, which no cluster holds. 'noise' assigns them to the nearest centre. 'near'
            does so only within max(20 px, 6 times the mean distance of the cluster's votes from the centre).
            'clusters' assigns them to no instance.
        min_pixels: Instances with fewer pixels are removed, and their votes become noise votes.
        small: Whether to find instances of fewer than `min_samples` pixels. The noise votes are clustered once more,
            with `min_pixels` as `min_samples`. What is found is kept if its vectors nearly cancel out, as vectors to
            the centroid of their own pixels do, and at most half of its outline touches other instances of its class.
        drop_strips: Whether to remove the strips that blurred vectors leave along the border between two instances. A
            strip has vectors that do not cancel out, and more than 80 % of its outline touches other instances of its
            class. Its votes become noise votes.
        per_class: Whether to cluster each class by itself. If false, cluster the pixels of all instance classes
            together, as the paper does. An instance then has the most frequent class of its pixels; on a tie, the class
            with the lowest id.

    Raises:
        MultisigmaError: If a value is out of its range.

    Example:
        >>> from dataclasses import replace
        >>> from multisigma.instances import VoteSettings
        >>> replace(VoteSettings.for_height(512), assignment="nearest").min_samples
        50
    """

    grid: float = 1.0
    min_samples: int = 100
    max_eps: float = 30.0
    extraction: Extraction = "tree"
    contrast: float = 0.75
    slope: float = 1.0
    cut: float = 3.0
    xi: float = 0.05
    assignment: Assignment = "near"
    min_pixels: int = 15
    small: bool = True
    drop_strips: bool = True
    per_class: bool = True

    @classmethod
    def for_height(cls, height: int) -> "VoteSettings":
        """Return the defaults for frames of `height` pixels.

        They were chosen at 1024 rows on simulated votes and at 128 rows on votes of trained networks. Below 1024 rows
        `grid`, `min_samples`, `min_pixels` and `slope` shrink in proportion to the height. Each has a lower limit. On
        small frames a vote's error is larger compared with the length of its vector. So they have a smaller `slope`:
        clusters must be further apart to stay separate. Below 512 rows `small` is off, as it lowers the PQ there.
        """
        share = min(height / 1024, 1.0)
        return cls(
            grid=max(share, 0.5),
            min_samples=max(round(100 * share), 15),
            slope=max(share, 0.25),
            min_pixels=max(round(15 * share), 10),
            small=height >= 512,
        )

    @classmethod
    def paper(cls, height: int) -> "VoteSettings":
        """Return settings that follow the paper literally, for frames of `height` pixels (section 4, figure 3).

        Cluster the pixels of all instance classes together with OPTICS, cut the reachability plot at one depth, and
        assign every pixel, noise votes included, to the nearest centre.

        The paper gives no parameters. `grid`, `min_samples` and `max_eps` are those of `for_height`, and the smallest
        instance has 100 pixels at 1024 rows, as in the Cityscapes benchmark, and fewer by the area below. The
        cut is 2 px up to 128 rows, 4 px from 1024 rows, and interpolated in between. Of 2, 3, 4 and 6 px, these had the
        best PQ at the two heights (docs/instances.md).

        Example:
            >>> from multisigma.instances import VoteSettings
            >>> settings = VoteSettings.paper(1024)
            >>> settings.per_class, settings.extraction, settings.cut, settings.assignment
            (False, 'cut', 4.0, 'nearest')
        """
        return dataclasses.replace(
            cls.for_height(height),
            per_class=False,
            extraction="cut",
            cut=float(np.interp(height, (128, 1024), (2.0, 4.0))),
            assignment="nearest",
            min_pixels=max(round(100 * min(height / 1024, 1.0) ** 2), 10),
            small=False,
            drop_strips=False,
        )

    def __post_init__(self) -> None:
        for name, rule, valid in (
            ("grid", "at least 0 px and finite", 0 <= self.grid < math.inf),
            ("min_samples", "at least 2", self.min_samples >= 2),
            ("max_eps", "above 0 px", self.max_eps > 0),
            ("extraction", f"one of {', '.join(get_args(Extraction))}", self.extraction in get_args(Extraction)),
            ("contrast", "above 0 and at most 1", 0 < self.contrast <= 1),
            ("slope", "positive", self.slope > 0),
            ("cut", "above 0 px", self.cut > 0),
            ("xi", "at least 0 and below 1", 0 <= self.xi < 1),
            ("assignment", f"one of {', '.join(get_args(Assignment))}", self.assignment in get_args(Assignment)),
            ("min_pixels", "at least 1", self.min_pixels >= 1),
        ):
            if not valid:
                raise MultisigmaError(f"Parameter `{name}` must be {rule}. Found {getattr(self, name)!r}.")
        if self.extraction == "xi" and self.grid > 0:
            raise MultisigmaError(
                "Parameter `grid` must be 0 with the extraction 'xi', which finds no clusters among pooled votes. "
                f"Found {self.grid}. Set it to 0, or take another extraction."
            )


@dataclass(frozen=True, slots=True)
class Instances:
    """The N instances of a frame. Row i of the arrays describes the instance with id i + 1.

    Args:
        ids: Instance id of each pixel, 1..N, or 0 for none; shape (H, W).
        class_ids: Class of each instance, an id of the semantic map; shape (N,). With `per_class=False` some of its
            pixels may have other classes in the semantic map.
        centres: Mean vote (x, y) of each instance's cluster in pixels, pixel centres at integers; shape (N, 2).
        pixels: Number of pixels of each instance; shape (N,).
        confidence: The mean probability of the pixels' classes, times the agreement of their votes; above 0 and at most
            1; shape (N,). The agreement is (l + 1) / (l + 1 + e), with the mean length l of the pixels' vectors and the
            mean distance e of their votes from the centre, in pixels.
    """

    ids: NDArray[np.int32]
    class_ids: NDArray[np.int64]
    centres: NDArray[np.float64]
    pixels: NDArray[np.int64]
    confidence: NDArray[np.float64]


def instances_from_votes(
    vectors: NDArray[np.floating],
    semantic: NDArray[np.integer],
    classes: Sequence[int],
    probabilities: NDArray[np.floating] | None = None,
    settings: VoteSettings | None = None,
) -> Instances:
    """Cluster the votes of a frame into instances.

    The result is deterministic. Most of the time is spent in compiled code that releases the GIL, so threads process
    a batch in parallel: `ThreadPoolExecutor().map(instances_from_votes, vectors, semantic, repeat(classes))`.

    Args:
        vectors: Vector (x, y) in pixels from each pixel to the centroid of its instance; shape (2, H, W). Only the
            pixels of instance classes are read.
        semantic: Class of each pixel; shape (H, W).
        classes: The classes that have instances.
        probabilities: Probability of each pixel's class, above 0 and at most 1; shape (H, W). None for all 1.
        settings: How votes become instances. None for `VoteSettings.for_height(H)`.

    Raises:
        MultisigmaError: If shapes do not fit, or a vector or a probability of an instance class is out of its range.

    Example:
        Two cars, class 26, on a road, class 7:

        >>> import numpy as np
        >>> from multisigma.instances import instances_from_votes
        >>> y, x = np.mgrid[:60, :80]
        >>> semantic = np.where((x < 30) | (x > 50), 26, 7)
        >>> vectors = np.where(x < 30, np.stack((14.5 - x, 29.5 - y)), np.stack((65.0 - x, 29.5 - y)))
        >>> found = instances_from_votes(vectors, semantic, classes=[26])
        >>> found.class_ids.tolist(), found.pixels.tolist(), found.centres.tolist()
        ([26, 26], [1800, 1740], [[14.5, 29.5], [65.0, 29.5]])
    """
    if semantic.ndim != 2 or vectors.shape != (2, *semantic.shape):
        raise MultisigmaError(
            "Parameter `semantic` must have the shape (H, W), and `vectors` the shape (2, H, W). "
            f"Found {semantic.shape} and {vectors.shape}."
        )
    if probabilities is not None and probabilities.shape != semantic.shape:
        raise MultisigmaError(
            f"Parameter `probabilities` must have the shape of the semantic map, {semantic.shape}. "
            f"Found {probabilities.shape}."
        )
    settings = settings or VoteSettings.for_height(semantic.shape[0])
    things = np.array(sorted(set(classes)), dtype=np.int64)
    flat_semantic = np.ascontiguousarray(semantic).ravel()
    flat_vectors = np.ascontiguousarray(vectors, dtype=np.result_type(vectors, np.float32)).reshape(2, -1)
    positions, begin = _positions_by_class(flat_semantic, things)
    by_class = [positions[begin[k] : begin[k + 1]] for k in range(len(things))]
    ids = np.zeros(semantic.size, dtype=np.int32)
    class_ids: list[int] = []
    centres, agreement = [np.empty((0, 2))], [np.empty(0)]
    for k, chosen in enumerate(by_class if settings.per_class else [np.sort(positions)]):
        votes, lengths, invalid = _votes(flat_vectors, chosen, semantic.shape[1])
        if invalid:
            whose = f"class {things[k]}" if settings.per_class else "the instance classes"
            raise MultisigmaError(
                f"Parameter `vectors` must be finite, with lengths below 1e50 px. Found {invalid} of {len(votes)} "
                f"pixels of {whose} that are not; the network that made them has diverged."
            )
        found, members = _cluster(votes, lengths, chosen, semantic.shape, settings)
        if len(found):
            _write_ids(ids, chosen, members, len(class_ids) + 1)
            if settings.per_class:
                class_ids += [int(things[k])] * len(found)
            else:
                class_ids += _majority_classes(flat_semantic[chosen], members, len(found)).tolist()
            centres.append(found)
            agreement.append(_agreement(votes, lengths, members, found))
    pixels = np.bincount(ids, minlength=len(class_ids) + 1)[1:]
    confidence = np.concatenate(agreement)
    if probabilities is not None:
        inside = np.flatnonzero(ids)
        certainty = probabilities.reshape(-1)[inside]
        invalid = int((~((certainty > 0) & (certainty <= 1))).sum())
        if invalid:
            raise MultisigmaError(
                f"Parameter `probabilities` must be above 0 and at most 1 at the pixels of instances. Found {invalid} "
                f"of {len(inside)} pixels that are not. Take the probabilities from the softmax."
            )
        sums = np.bincount(ids[inside], certainty, len(class_ids) + 1)[1:]
        confidence *= np.minimum(sums / pixels, 1.0)
    return Instances(
        ids.reshape(semantic.shape), np.array(class_ids, dtype=np.int64), np.concatenate(centres), pixels, confidence
    )


def _cluster(
    votes: Floats, lengths: Floats, positions: Ints, shape: tuple[int, ...], settings: VoteSettings
) -> tuple[Floats, Ints]:
    """Return the centre of each instance, shape (K, 2), and the instance of each vote or -1, shape (N,).

    `positions` are those of the votes' pixels in the flat map of the given shape.
    """
    cells, weights = np.arange(len(votes)), np.ones(len(votes), np.int64)
    points, scales = votes, lengths
    if settings.grid:
        cells, weights, points, scales = _pool(votes, lengths, settings.grid)
    labels = _extract(points, scales, weights, settings.min_samples, settings)
    first = int(labels.max(initial=-1)) + 1
    if settings.small:
        noise = np.flatnonzero(labels < 0)
        found = _extract(points[noise], scales[noise], weights[noise], max(settings.min_pixels, 2), settings)
        labels[noise] = np.where(found >= 0, first + found, -1)
    none = np.empty((0, 2)), np.full(len(votes), -1)
    if labels.max(initial=-1) < 0:
        return none
    centres, spreads = _centres(points, weights, labels)
    members = _assign(points, labels, centres, spreads, settings.assignment)
    kept = np.bincount(members[members >= 0], weights[members >= 0], len(centres)) >= settings.min_pixels
    if settings.small or settings.drop_strips:
        is_first = np.arange(len(centres)) < first
        kept &= _fits(votes, lengths, positions, members[cells], is_first, shape, settings.drop_strips)
    if not kept.any():
        return none
    if not kept.all():
        renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
        labels = np.where(labels < 0, -1, renumbered[labels])
        centres, spreads = centres[kept], spreads[kept]
        members = _assign(points, labels, centres, spreads, settings.assignment)
    return centres, members[cells]


def _fits(
    votes: Floats,
    lengths: Floats,
    positions: Ints,
    members: Ints,
    is_first: Bools,
    shape: tuple[int, ...],
    drop_strips: bool,
) -> Bools:
    """Return which clusters pass the tests of `VoteSettings.small` and `drop_strips`; `is_first` has those of the first
    clustering.
    """
    one_sided = _imbalance(votes, lengths, positions, members, len(is_first), shape[1]) > _IMBALANCE
    suspects = ~is_first | (one_sided & drop_strips)
    if not suspects.any():
        return ~suspects
    enclosure = _enclosure(positions, members, suspects, *shape)
    return ~suspects | ((enclosure <= np.where(is_first, _STRIP, _SMALL)) & (is_first | ~one_sided))


def _extract(points: Floats, scales: Floats, weights: Ints, min_samples: int, settings: VoteSettings) -> Ints:
    """Return the cluster of each point, or -1 for noise; shape (N,)."""
    if weights.sum() < min_samples:
        return np.full(len(points), -1)
    size = max(min_samples, settings.min_pixels)
    order = optics(points, min_samples, settings.max_eps, weights if settings.grid else None)
    if settings.extraction == "tree":
        resolution = settings.grid / 2
        return tree_clusters(order, points, scales, weights, settings.contrast, settings.slope, size, resolution)
    if settings.extraction == "cut":
        return dbscan_cut(order, settings.cut)
    return xi_clusters(order, min_samples, settings.xi, size)[0]


def _majority_classes(semantic: NDArray[np.integer], members: Ints, count: int) -> Ints:
    """Return the most frequent class of each instance, the lowest id if two are equally frequent; shape (count,)."""
    inside = members >= 0
    present, index = np.unique(semantic[inside], return_inverse=True)
    table = np.bincount(members[inside] * len(present) + index, minlength=count * len(present))
    return present[table.reshape(count, -1).argmax(axis=1)]


@njit(cache=True, nogil=True)
def _positions_by_class(semantic: NDArray[np.integer], classes: Ints) -> tuple[Ints, Ints]:
    """Sort the pixels of the classes by class.

    Returns:
        The pixels' positions in the flat map, class after class, shape (P,); where each class begins in this array,
        followed by P, shape (classes + 1,).
    """
    begin = np.zeros(len(classes) + 1, np.int64)
    for value in semantic:
        for k in range(len(classes)):
            if value == classes[k]:
                begin[k + 1] += 1
    begin = np.cumsum(begin)
    positions = np.empty(begin[-1], np.int64)
    fill = begin.copy()
    for i in range(len(semantic)):
        for k in range(len(classes)):
            if semantic[i] == classes[k]:
                positions[fill[k]] = i
                fill[k] += 1
    return positions, begin


@njit(cache=True, nogil=True)
def _votes(vectors: NDArray[np.floating], positions: Ints, width: int) -> tuple[Floats, Floats, int]:
    """Return the votes of pixels, shape (N, 2), the lengths of their vectors, and how many lengths are too large."""
    votes = np.empty((len(positions), 2))
    lengths = np.empty(len(positions))
    invalid = 0
    for i in range(len(positions)):
        position = positions[i]
        x, y = np.float64(vectors[0, position]), np.float64(vectors[1, position])
        votes[i, 0], votes[i, 1] = x + position % width, y + position // width
        lengths[i] = math.sqrt(x * x + y * y)
        # Confidences are made of sums of squares of lengths.
        invalid += not lengths[i] < _LONGEST
    return votes, lengths, invalid


@njit(cache=True, nogil=True)
def _pool(votes: Floats, lengths: Floats, grid: float) -> tuple[Ints, Ints, Floats, Floats]:
    """Pool votes on a grid.

    Returns:
        The cell of each vote; for each cell, the number of its votes, their mean, and the mean length of their vectors.
    """
    n = len(votes)
    rounded = np.empty((n, 2))
    for i in range(n):
        rounded[i, 0], rounded[i, 1] = np.rint(votes[i, 0] / grid) + 0.0, np.rint(votes[i, 1] / grid) + 0.0
    cells, count = merge_equal(rounded)
    weights = np.zeros(count, np.int64)
    points, scales = np.zeros((count, 2)), np.zeros(count)
    for i in range(n):
        cell = cells[i]
        weights[cell] += 1
        points[cell, 0] += votes[i, 0]
        points[cell, 1] += votes[i, 1]
        scales[cell] += lengths[i]
    for cell in range(count):
        points[cell, 0] /= weights[cell]
        points[cell, 1] /= weights[cell]
        scales[cell] /= weights[cell]
    return cells, weights, points, scales


@njit(cache=True, nogil=True)
def _centres(points: Floats, weights: Ints, labels: Ints) -> tuple[Floats, Floats]:
    """Return the mean of each cluster, shape (K, 2), and the mean distance of its points from it, shape (K,)."""
    count = labels.max() + 1
    centres, spreads, total = np.zeros((count, 2)), np.zeros(count), np.zeros(count)
    for i in range(len(points)):
        k = labels[i]
        if k >= 0:
            total[k] += weights[i]
            centres[k, 0] += weights[i] * points[i, 0]
            centres[k, 1] += weights[i] * points[i, 1]
    for k in range(count):
        centres[k] /= total[k]
    for i in range(len(points)):
        k = labels[i]
        if k >= 0:
            spreads[k] += weights[i] * math.hypot(points[i, 0] - centres[k, 0], points[i, 1] - centres[k, 1])
    return centres, spreads / total


def _assign(points: Floats, labels: Ints, centres: Floats, spreads: Floats, assignment: Assignment) -> Ints:
    """Return the instance of each point, or -1, by a rule of `VoteSettings`."""
    if assignment == "clusters":
        return labels
    keep = assignment != "nearest"
    reach = np.maximum(20.0, 6 * spreads) if assignment == "near" else np.full(len(spreads), math.inf)
    return _nearest(points, labels, centres, reach, keep)


@njit(cache=True, nogil=True)
def _nearest(points: Floats, labels: Ints, centres: Floats, reach: Floats, keep: bool) -> Ints:
    """Return the nearest centre of each point, or -1 if it is not within the centre's reach.

    If `keep` is true, points that have a label keep it.
    """
    members = np.empty(len(points), np.int64)
    for i in range(len(points)):
        if keep and labels[i] >= 0:
            members[i] = labels[i]
            continue
        best, member = math.inf, -1
        for k in range(len(centres)):
            dx, dy = points[i, 0] - centres[k, 0], points[i, 1] - centres[k, 1]
            square = dx * dx + dy * dy
            if square < best:
                best, member = square, k
        members[i] = member if best <= reach[member] * reach[member] else -1
    return members


@njit(cache=True, nogil=True)
def _imbalance(votes: Floats, lengths: Floats, positions: Ints, members: Ints, count: int, width: int) -> Floats:
    """Return how far each cluster's vectors are from cancelling out; shape (count,).

    It is the length of their sum over the sum of their lengths: 0 if they cancel out, 1 if they are parallel.
    """
    x, y, length = np.zeros(count), np.zeros(count), np.zeros(count)
    for i in range(len(votes)):
        k = members[i]
        if k >= 0:
            x[k] += votes[i, 0] - positions[i] % width
            y[k] += votes[i, 1] - positions[i] // width
            length[k] += lengths[i]
    return np.hypot(x, y) / np.maximum(length, 1e-300)


@njit(cache=True, nogil=True)
def _enclosure(positions: Ints, members: Ints, wanted: Bools, height: int, width: int) -> Floats:
    """Return the share of the outline of the wanted clusters that touches other clusters; shape (K,), 0 if not wanted.

    The outline is counted in sides of pixels.
    """
    owner = np.full(height * width, -1, np.int32)
    for i in range(len(positions)):
        owner[positions[i]] = members[i]
    outline, shared = np.zeros(len(wanted)), np.zeros(len(wanted))
    for i in range(len(positions)):
        k = members[i]
        if k < 0 or not wanted[k]:
            continue
        row, column = positions[i] // width, positions[i] % width
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            r, c = row + down, column + right
            other = owner[r * width + c] if 0 <= r < height and 0 <= c < width else np.int32(-1)
            if other != k:
                outline[k] += 1
                shared[k] += other >= 0
    return shared / np.maximum(outline, 1)


@njit(cache=True, nogil=True)
def _agreement(votes: Floats, lengths: Floats, members: Ints, centres: Floats) -> Floats:
    """Return the agreement of each instance's votes, as `Instances.confidence` defines it; shape (K,)."""
    count = np.zeros(len(centres))
    length, error = np.zeros(len(centres)), np.zeros(len(centres))
    for i in range(len(votes)):
        k = members[i]
        if k >= 0:
            count[k] += 1
            length[k] += lengths[i]
            error[k] += math.hypot(votes[i, 0] - centres[k, 0], votes[i, 1] - centres[k, 1])
    return (length + count) / (length + count + error)


@njit(cache=True, nogil=True)
def _write_ids(ids: NDArray[np.int32], positions: Ints, members: Ints, first: int) -> None:
    """Write the ids of the pixels' instances in place. Instance 0 has the id `first`; -1 writes nothing."""
    for i in range(len(positions)):
        if members[i] >= 0:
            ids[positions[i]] = first + members[i]
