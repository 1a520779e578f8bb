"""From votes to instances."""

from multisigma.instances.votes import Instances, VoteSettings, instances_from_votes

__all__ = ["Instances", "VoteSettings", "instances_from_votes"]
