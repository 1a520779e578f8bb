"""What the training module computes for its logs."""

import pytest

from multisigma import FixedWeighting
from multisigma.training.scene_module import weighting_columns


def test_the_papers_noises_give_its_ratios() -> None:
    """Appendix B: noises 0.075, 20.4 and 3.25 at the end of training, 0.60, 62.5 and 13.5 at iteration 500."""
    for noises, ratios in (
        ({"semantic": 0.075, "instance": 20.4, "depth": 3.25}, {"semantic": 43, "instance": 0.16, "depth": 1}),
        ({"semantic": 0.60, "instance": 62.5, "depth": 13.5}, {"semantic": 23, "instance": 0.22, "depth": 1}),
    ):
        columns = weighting_columns({f"noise/{task}": noise for task, noise in noises.items()})
        for task in noises:
            assert columns[f"noise/{task}"] == pytest.approx(noises[task])
            assert columns[f"noise_ratio/{task}"] == pytest.approx(ratios[task], rel=0.025)


def test_without_depth_there_are_no_ratios_and_without_weight_no_noise() -> None:
    weighting = FixedWeighting({"semantic": 0.5, "instance": 0.0})
    assert weighting_columns(weighting.log()) == {"weight/semantic": 0.5, "weight/instance": 0.0, "noise/semantic": 2.0}
