"""What is particular to each task: one file a task."""

from multisigma.tasks.base import Task, load_tasks
from multisigma.tasks.depth import Depth
from multisigma.tasks.instance import VOTES, Instance, Votes
from multisigma.tasks.semantic import Semantic

__all__ = ["VOTES", "Depth", "Instance", "Semantic", "Task", "Votes", "load_tasks"]
