"""The tasks, one file each."""

from multisigma.tasks.base import RegressionTask, Task, postprocess
from multisigma.tasks.depth import Depth, DepthResult
from multisigma.tasks.instance import VOTES, Instance, InstanceResult, PredictedInstance, Votes, choose_votes
from multisigma.tasks.load import BUILT_IN, load_tasks
from multisigma.tasks.normals import Normals, NormalsResult, normals_of_disparity
from multisigma.tasks.results import DenseResult, PostprocessContext, TaskResult
from multisigma.tasks.semantic import Semantic, SemanticResult

__all__ = [
    "BUILT_IN",
    "VOTES",
    "DenseResult",
    "Depth",
    "DepthResult",
    "Instance",
    "InstanceResult",
    "Normals",
    "NormalsResult",
    "PostprocessContext",
    "PredictedInstance",
    "RegressionTask",
    "Semantic",
    "SemanticResult",
    "Task",
    "TaskResult",
    "Votes",
    "choose_votes",
    "load_tasks",
    "normals_of_disparity",
    "postprocess",
]
