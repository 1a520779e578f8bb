"""Multi-task learning with learned task uncertainty (Kendall, Gal and Cipolla, CVPR 2018).

`import multisigma` needs torch alone and gives the loss-weighting library. The scene-understanding system lives in the
subpackages (`multisigma.data`, `tasks`, `models`, `metrics`, `training`, `outputs`) and needs the extra `scene`.
"""

from multisigma.errors import MultisigmaError
from multisigma.weighting import FixedWeighting, Gaussian, Laplace, Likelihood, Softmax, UncertaintyWeighting

__all__ = [
    "FixedWeighting",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "MultisigmaError",
    "Softmax",
    "UncertaintyWeighting",
]
__version__ = "0.1.0"
