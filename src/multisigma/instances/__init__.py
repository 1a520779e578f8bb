"""Instance segmentation from centroid votes: OPTICS, cluster extraction, assignment of pixels. Needs no torch."""

from multisigma.instances.extraction import dbscan_cut, tree_clusters, xi_clusters
from multisigma.instances.optics import Ordering, optics
from multisigma.instances.votes import Instances, VoteSettings, instances_from_votes

__all__ = [
    "Instances",
    "Ordering",
    "VoteSettings",
    "dbscan_cut",
    "instances_from_votes",
    "optics",
    "tree_clusters",
    "xi_clusters",
]
