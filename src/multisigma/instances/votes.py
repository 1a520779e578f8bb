"""Instances from votes for their centroids (Kendall, Gal and Cipolla 2018, section 4 and figure 3).

Every pixel of an instance class votes for the centroid of its instance. The votes of a class are clustered with OPTICS
(Ankerst et al. 1999); each pixel goes to the nearest cluster centre of its class. An instance that an occluder splits
stays one, for its parts vote for the same place.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import OPTICS
from sklearn.metrics import pairwise_distances_argmin

from multisigma.errors import MultisigmaError


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """How votes become instances.

    Args:
        min_samples: Clustered votes around a vote, itself included, that make it the core of a cluster; at least 2.
        cut: Depth in pixels at which the reachability plot is cut into clusters (the `eps` of a DBSCAN cut).
        max_votes: Votes clustered per class, a random subsample when there are more; time grows with it.
        min_pixels: Instances with fewer pixels are dropped and their pixels go to the nearest centre that remains.
    """

    min_samples: int = 5
    cut: float = 3.0
    max_votes: int = 1000
    min_pixels: int = 30

    def __post_init__(self) -> None:
        for name, least in (("min_samples", 2), ("max_votes", 1), ("min_pixels", 1)):
            if getattr(self, name) < least:
                raise MultisigmaError(f"`{name}` of the votes should be at least {least}. Found {getattr(self, name)}.")
        if not self.cut > 0:
            raise MultisigmaError(f"`cut` of the votes should be above 0 px. Found {self.cut}.")


@dataclass(frozen=True, slots=True)
class Instances:
    """The N instances of a frame; row i of the arrays belongs to the pixels with id i + 1.

    Args:
        ids: Instance of each pixel, 1..N, and 0 where there is none; shape (H, W).
        class_ids: Class of each instance, as in the semantic map; shape (N,).
        centres: Centroid (x, y) of each instance in pixels, pixel centres at integers; shape (N, 2).
        pixels: Number of pixels of each instance; shape (N,).
    """

    ids: NDArray[np.int32]
    class_ids: NDArray[np.int64]
    centres: NDArray[np.float64]
    pixels: NDArray[np.int64]


def instances_from_votes(
    vectors: NDArray[np.floating],
    semantic: NDArray[np.integer],
    classes: Sequence[int],
    settings: VoteSettings | None = None,
    seed: int = 0,
) -> Instances:
    """Cluster the votes of each instance class; the same input and seed give the same instances.

    Args:
        vectors: Vector (x, y) in pixels from each pixel to the centroid of its instance; shape (2, H, W). Only the
            pixels of instance classes are read.
        semantic: Class of each pixel; shape (H, W).
        classes: The classes that have instances.
        settings: How votes become instances; None for the defaults.
        seed: Seed of the subsample.

    Raises:
        MultisigmaError: If shapes do not fit, or a vector of an instance class is not finite.
    """
    settings = settings or VoteSettings()
    if semantic.ndim != 2 or vectors.shape != (2, *semantic.shape):
        raise MultisigmaError(
            "The semantic map should have the shape (H, W) and the instance vectors (2, H, W). "
            f"Found {semantic.shape} and {vectors.shape}."
        )
    ids = np.zeros(semantic.shape, dtype=np.int32)
    class_ids: list[int] = []
    centres = np.empty((0, 2))
    for class_id in sorted(set(classes)):
        y, x = np.nonzero(semantic == class_id)
        votes: NDArray[np.float64] = vectors[:, y, x].T.astype(np.float64)
        votes += np.column_stack((x, y))
        broken = int((~np.isfinite(votes)).any(axis=1).sum())
        if broken:
            raise MultisigmaError(
                f"Instance vectors should be finite. Found {broken} of {len(votes)} "
                f"pixels of class {class_id} that are not; the network that made them has diverged."
            )
        found, members = _instances_of_class(votes, settings, np.random.default_rng((seed, class_id)))
        if len(found):
            ids[y, x] = len(class_ids) + 1 + members
            class_ids += [class_id] * len(found)
            centres = np.concatenate((centres, found))
    pixels = np.bincount(ids.ravel(), minlength=len(class_ids) + 1)[1:]
    return Instances(ids, np.array(class_ids, dtype=np.int64), centres, pixels)


def _instances_of_class(
    votes: NDArray[np.float64], settings: VoteSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Centres (K, 2) of the instances of one class, and the index of the nearest of them for each vote."""
    nothing = np.empty((0, 2)), np.empty(0, dtype=np.intp)
    chosen = votes
    if len(votes) > settings.max_votes:
        chosen = votes[np.sort(rng.choice(len(votes), settings.max_votes, replace=False))]
    if len(chosen) < settings.min_samples:
        return nothing
    # Reachabilities above the cut do not change the cut's labels: max_eps only saves time.
    optics = OPTICS(
        min_samples=settings.min_samples,
        max_eps=settings.cut,
        metric="minkowski",
        p=2,
        cluster_method="dbscan",
        eps=settings.cut,
    )
    with warnings.catch_warnings():
        # Votes that form no cluster are an answer, no reason to warn.
        warnings.filterwarnings("ignore", message="All reachability values are inf", category=UserWarning)
        labels = optics.fit(chosen).labels_
    centres = np.array([chosen[labels == label].mean(axis=0) for label in range(labels.max() + 1)]).reshape(-1, 2)
    if not len(centres):
        return nothing
    members = pairwise_distances_argmin(votes, centres)
    kept = np.bincount(members, minlength=len(centres)) >= settings.min_pixels
    if not kept.any():
        return nothing
    return centres[kept], members if kept.all() else pairwise_distances_argmin(votes, centres[kept])
