"""Instances from votes for their centroids (Kendall, Gal and Cipolla 2018, section 4 and figure 3).

Every pixel of an instance class votes for the centroid of its instance. The votes of a class are ordered by OPTICS
(Ankerst et al. 1999), clusters are taken from the ordering, and each pixel goes to a cluster. An instance that an
occluder splits stays one, for its parts vote for the same place.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import NDArray

from multisigma.errors import MultisigmaError
from multisigma.instances.extraction import dbscan_cut, tree_clusters, xi_clusters
from multisigma.instances.kdtree import Floats, Ints
from multisigma.instances.optics import merge_equal, optics

Extraction = Literal["tree", "cut", "xi"]
Assignment = Literal["nearest", "noise", "near", "clusters"]


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """How votes become instances.

    The defaults are for frames of 1024x2048 and were chosen by measurement (docs/instances.md); `for_height` has those
    for other sizes.

    Args:
        grid: Votes are pooled on a grid of this many pixels, with multiplicities, before they are clustered; 0 clusters
            every vote.
        min_samples: Votes around a vote, itself included, that make it the core of a cluster; at least 2.
        max_eps: Greatest distance at which one vote reaches another, pixels.
        extraction: 'tree': each cluster at the density that sets it apart (`tree_clusters`); 'cut': the plot cut at
            one depth; 'xi': between steep areas, for votes that are not pooled.
        contrast: Of the tree, the greatest share of a peak that a cluster's depth may have.
        slope: Of the tree, how fast that share grows with the distance of two clusters, in lengths of their vectors.
        cut: Depth of the cut, pixels.
        xi: Least relative step of a steep point.
        assignment: Which instance a pixel goes to, always of its own class. 'nearest': the centre nearest to its vote,
            the paper's rule; 'noise': its vote's cluster, and noise votes to the nearest centre; 'near': likewise, if
            that is within max(20 px, 6 times the cluster's mean spread), and otherwise to none; 'clusters': its vote's
            cluster or none.
        min_pixels: Instances with fewer pixels are dropped, and their pixels go to what remains by the same rule.
        per_class: Cluster each class by itself. If false, cluster the pixels of all instance classes together, as
            the paper describes it; an instance then has the class of most of its pixels (the lowest id if equal).
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
    min_pixels: int = 100
    per_class: bool = True

    @classmethod
    def for_height(cls, height: int) -> "VoteSettings":
        """The defaults for frames of a height in pixels.

        Measured at 1024 rows on simulated votes and at 128 rows on trained networks, and interpolated between: votes
        on small frames err more for their vectors' lengths, so that their clusters must be further apart.
        """
        share = min(height / 1024, 1.0)
        return cls(
            grid=max(share, 0.5),
            min_samples=max(round(100 * share), 15),
            slope=max(share, 0.25),
            min_pixels=max(round(100 * share * share), 10),
        )

    @classmethod
    def paper(cls, height: int) -> "VoteSettings":
        """Return the paper's literal way for frames of `height` pixels (section 4, figure 3).

        Cluster the pixels of all instance classes together with OPTICS, cut the reachability plot at one depth, and
        assign every pixel, noise votes included, to the nearest cluster centre.

        The paper gives no parameters. `min_samples`, `max_eps`, `grid` and `min_pixels` are those of `for_height`. The
        cut is the one with the best PQ in docs/instances.md, where classes are clustered apart and pixels go to the
        nearest centre: 4 px at 1024 rows and above, 3 px at 128 rows and below, interpolated between.
        """
        return dataclasses.replace(
            cls.for_height(height),
            per_class=False,
            extraction="cut",
            cut=float(np.interp(height, (128, 1024), (3.0, 4.0))),
            assignment="nearest",
        )

    def __post_init__(self) -> None:
        for name, least in (("min_samples", 2), ("min_pixels", 1)):
            if getattr(self, name) < least:
                raise MultisigmaError(f"`{name}` of the votes should be at least {least}. Found {getattr(self, name)}.")
        for name, choices in (("extraction", get_args(Extraction)), ("assignment", get_args(Assignment))):
            if getattr(self, name) not in choices:
                raise MultisigmaError(
                    f"`{name}` of the votes should be one of {', '.join(choices)}. Found {getattr(self, name)!r}."
                )
        for name, rule, fits in (
            ("grid", "at least 0 px and finite", 0 <= self.grid < math.inf),
            ("max_eps", "above 0 px", self.max_eps > 0),
            ("contrast", "above 0 and at most 1", 0 < self.contrast <= 1),
            ("slope", "above 0", self.slope > 0),
            ("cut", "above 0 px", self.cut > 0),
            ("xi", "from 0 to below 1", 0 <= self.xi < 1),
        ):
            if not fits:
                raise MultisigmaError(f"`{name}` of the votes should be {rule}. Found {getattr(self, name)}.")
        if self.extraction == "xi" and self.grid > 0:
            raise MultisigmaError(
                "The extraction `xi` finds no clusters among pooled votes: their plot is all steps. "
                f"Set `grid` to 0, or take another extraction. Found the grid {self.grid}."
            )


@dataclass(frozen=True, slots=True)
class Instances:
    """The N instances of a frame; row i of the arrays belongs to the pixels with id i + 1.

    Args:
        ids: Instance of each pixel, 1..N, and 0 where there is none; shape (H, W).
        class_ids: Class of each instance, as in the semantic map; shape (N,). With `per_class=False` it is the class
            of most of the instance's pixels, and the semantic map may differ from it at the others.
        centres: Centroid (x, y) of each instance in pixels, pixel centres at integers; shape (N, 2).
        pixels: Number of pixels of each instance; shape (N,).
        confidence: Mean probability of the pixels' classes over the instance, times (l + 1) / (l + 1 + e), where l is
            the mean length of their vectors and e the mean distance of their votes from the centre, in pixels:
            instances rank higher the better their votes agree. Above 0 and at most 1; shape (N,).
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
    """Cluster the votes of each instance class by itself, or of all together (`per_class=False`).

    The same input gives the same instances. Most of the time is spent in compiled code that releases the GIL, so that
    the frames of a batch are best handed to threads: `list(ThreadPoolExecutor().map(instances_from_votes, vectors,
    semantic, repeat(classes)))`.

    Args:
        vectors: Vector (x, y) in pixels from each pixel to the centroid of its instance; shape (2, H, W). Only the
            pixels of instance classes are read.
        semantic: Class of each pixel; shape (H, W).
        classes: The classes that have instances.
        probabilities: Probability of each pixel's class, above 0 and at most 1; shape (H, W). None for all 1.
        settings: How votes become instances; None for the defaults at the frame's height.

    Raises:
        MultisigmaError: If shapes do not fit, or a vector or a probability of an instance class is not as described.
    """
    if semantic.ndim != 2 or vectors.shape != (2, *semantic.shape):
        raise MultisigmaError(
            "The semantic map should have the shape (H, W) and the instance vectors (2, H, W). "
            f"Found {semantic.shape} and {vectors.shape}."
        )
    if probabilities is not None and probabilities.shape != semantic.shape:
        raise MultisigmaError(
            f"The probabilities should be those of the pixels' classes, shape {semantic.shape}. "
            f"Found {probabilities.shape}."
        )
    settings = settings or VoteSettings.for_height(semantic.shape[0])
    ids = np.zeros(semantic.size, dtype=np.int32)
    class_ids: list[int] = []
    centres, agreement = [np.empty((0, 2))], [np.empty(0)]
    chosen = np.array(sorted(set(classes)), dtype=np.int64)
    flat_semantic = np.ascontiguousarray(semantic).ravel()
    places, begin = _places_of_classes(flat_semantic, chosen)
    by_class = [places[begin[k] : begin[k + 1]] for k in range(len(chosen))]
    groups = by_class if settings.per_class else [np.sort(places)]
    flat = np.ascontiguousarray(vectors, dtype=np.result_type(vectors, np.float32)).reshape(2, -1)
    for index, here in enumerate(groups):
        votes, lengths, broken = _votes(flat, here, semantic.shape[1])
        if broken:
            whose = f"class {chosen[index]}" if settings.per_class else "the instance classes"
            raise MultisigmaError(
                f"Instance vectors should be finite. Found {broken} of {len(votes)} "
                f"pixels of {whose} that are not; the network that made them has diverged."
            )
        found, members = _cluster(votes, lengths, settings)
        if len(found):
            _write(ids, here, members, len(class_ids) + 1)
            if settings.per_class:
                class_ids += [int(chosen[index])] * len(found)
            else:
                class_ids += _majority(flat_semantic[here], members, len(found)).tolist()
            centres.append(found)
            agreement.append(_agreement(votes, lengths, members, found))
    pixels = np.bincount(ids, minlength=len(class_ids) + 1)[1:]
    confidence = np.concatenate(agreement)
    if probabilities is not None:
        within = np.flatnonzero(ids)
        certain = probabilities.reshape(-1)[within]
        broken = int((~((certain > 0) & (certain <= 1))).sum())
        if broken:
            raise MultisigmaError(
                f"The probabilities of the pixels' classes should be above 0 and at most 1. Found {broken} of "
                f"{len(within)} pixels of instances whose are not; take them from the softmax."
            )
        sums = np.bincount(ids[within], certain, len(class_ids) + 1)[1:]
        confidence *= np.minimum(sums / pixels, 1.0)
    return Instances(
        ids.reshape(semantic.shape), np.array(class_ids, dtype=np.int64), np.concatenate(centres), pixels, confidence
    )


def _cluster(votes: Floats, lengths: Floats, settings: VoteSettings) -> tuple[Floats, Ints]:
    """Return the centres (K, 2) of the instances, and the instance of each vote, or -1."""
    nothing = np.empty((0, 2)), np.empty(0, np.int64)
    if len(votes) < settings.min_samples:
        return nothing
    points, scales = votes, lengths
    cells = weights = None
    if settings.grid:
        cells, weights, points, scales = _pool(votes, lengths, settings.grid)
    order = optics(points, settings.min_samples, settings.max_eps, weights)
    if settings.extraction == "tree":
        labels = tree_clusters(
            order,
            points,
            scales,
            weights,
            settings.contrast,
            settings.slope,
            min_weight=settings.min_pixels,
            resolution=settings.grid / 2,
        )
    elif settings.extraction == "cut":
        labels = dbscan_cut(order, settings.cut)
    else:
        size = max(settings.min_samples, settings.min_pixels)
        labels, _ = xi_clusters(order, settings.min_samples, settings.xi, size)
    if weights is None:
        weights = np.ones(len(points), np.int64)
    centres, spreads = _centres(points, weights, labels)
    if not len(centres):
        return nothing
    members = _assign(points, labels, centres, spreads, settings.assignment)
    kept = np.bincount(members[members >= 0], weights[members >= 0], len(centres)) >= settings.min_pixels
    if not kept.any():
        return nothing
    if not kept.all():
        renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
        labels = np.where(labels < 0, -1, renumbered[labels])
        centres, spreads = centres[kept], spreads[kept]
        members = _assign(points, labels, centres, spreads, settings.assignment)
    return centres, members if cells is None else members[cells]


def _majority(semantic: NDArray[np.integer], members: Ints, count: int) -> Ints:
    """Return the most frequent class of each instance, the lowest id if two are equally frequent; shape (count,)."""
    inside = members >= 0
    present, index = np.unique(semantic[inside], return_inverse=True)
    table = np.bincount(members[inside] * len(present) + index, minlength=count * len(present))
    return present[table.reshape(count, -1).argmax(axis=1)]


@njit(cache=True, nogil=True)
def _places_of_classes(semantic: NDArray[np.integer], classes: Ints) -> tuple[Ints, Ints]:
    """Places in the flat map of all pixels of the first class, the second, ...; and where each class begins."""
    begin = np.zeros(len(classes) + 1, np.int64)
    for value in semantic:
        for k in range(len(classes)):
            if value == classes[k]:
                begin[k + 1] += 1
    begin = np.cumsum(begin)
    places = np.empty(begin[-1], np.int64)
    fill = begin.copy()
    for i in range(len(semantic)):
        for k in range(len(classes)):
            if semantic[i] == classes[k]:
                places[fill[k]] = i
                fill[k] += 1
    return places, begin


@njit(cache=True, nogil=True)
def _votes(vectors: NDArray[np.floating], places: Ints, width: int) -> tuple[Floats, Floats, int]:
    """Where the pixels at `places` vote, the lengths of their vectors, and how many are not finite."""
    votes = np.empty((len(places), 2))
    lengths = np.empty(len(places))
    broken = 0
    for i in range(len(places)):
        place = places[i]
        x, y = np.float64(vectors[0, place]), np.float64(vectors[1, place])
        votes[i, 0], votes[i, 1] = x + place % width, y + place // width
        lengths[i] = math.sqrt(x * x + y * y)
        broken += not math.isfinite(x + y)
    return votes, lengths, broken


@njit(cache=True, nogil=True)
def _pool(votes: Floats, lengths: Floats, grid: float) -> tuple[Ints, Ints, Floats, Floats]:
    """Cell of each vote; and of each cell the number of votes, their mean, and the mean length of their vectors."""
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
    """Mean (K, 2) of each cluster's points, and the mean distance (K,) from it."""
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
    """Instance of each point by a rule of `VoteSettings`, or -1."""
    if assignment == "clusters":
        return labels
    keep = assignment != "nearest"
    reach = np.maximum(20.0, 6 * spreads) if assignment == "near" else np.full(len(spreads), math.inf)
    return _nearest(points, labels, centres, reach, keep)


@njit(cache=True, nogil=True)
def _nearest(points: Floats, labels: Ints, centres: Floats, reach: Floats, keep: bool) -> Ints:
    """The nearest centre of each point, if within its reach; points with a label keep it if `keep`."""
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
def _agreement(votes: Floats, lengths: Floats, members: Ints, centres: Floats) -> Floats:
    """How well the votes of each instance agree for their vectors' lengths, above 0 and at most 1."""
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
def _write(ids: NDArray[np.int32], places: Ints, members: Ints, first: int) -> None:
    """Writes members from 0 as ids from `first`; -1 stays 0."""
    for i in range(len(places)):
        if members[i] >= 0:
            ids[places[i]] = first + members[i]
