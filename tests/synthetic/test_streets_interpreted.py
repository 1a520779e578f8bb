"""The compiled renderer against the same functions run by Python itself, one scene of each kind of split."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from multisigma.synthetic import StreetSettings, make_frame
from multisigma.synthetic.frames import StreetFrame

SCENES = [("train", 0), ("val", 1)]
SCRIPT = f"""
import sys
import numpy as np
from multisigma.synthetic import StreetSettings, make_frame
for split, index in {SCENES}:
    frame = make_frame(StreetSettings(64, 128, seed=3), split, index)
    path = sys.argv[1] + f"/{{split}} {{index}}.npz"
    np.savez(path, left=frame.left, right=frame.right, labels=frame.labels, exact=frame.exact_disparity)
"""


def test_compiled_and_interpreted_frames_agree(tmp_path: Path) -> None:
    # Its coverage would tell nothing of the compiled functions, and takes as long again.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["NUMBA_DISABLE_JIT"] = "1"
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path], check=True, env=environment)
    for split, index in SCENES:
        compiled = make_frame(StreetSettings(64, 128, seed=3), split, index)
        compare(compiled, np.load(tmp_path / f"{split} {index}.npz"))


def compare(compiled: StreetFrame, interpreted: Mapping[str, np.ndarray]) -> None:
    # Compiled arithmetic may be reordered, which moves single pixels at edges and single grey values.
    assert (interpreted["labels"] == compiled.labels).mean() > 0.998
    for side in ("left", "right"):
        difference = np.abs(interpreted[side].astype(int) - getattr(compiled, side))
        assert np.median(difference) <= 1
        assert difference.mean() < 1
    both = np.isfinite(interpreted["exact"]) & np.isfinite(compiled.exact_disparity)
    assert both.mean() > 0.8
    error = np.abs(interpreted["exact"] - compiled.exact_disparity)[both]
    assert np.quantile(error, 0.99) < 1e-3
