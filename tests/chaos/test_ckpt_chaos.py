"""ckpt-chaos, which others have made, kills a training at the file events of its whole run and resumes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from multisigma.synthetic import generate


@pytest.mark.slow
def test_no_kill_of_ckpt_chaos_changes_the_weights(tmp_path: Path) -> None:
    """It exits with 1 where a resume fails or ends with other weights."""
    pytest.importorskip("ckpt_chaos")
    generate(tmp_path / "root", 2, 1, 64, 128, seed=0, processes=1, samples_page=False)
    subprocess.run(
        [
            *(sys.executable, "-m", "ckpt_chaos", "run", "--work", str(tmp_path / "work")),
            *("--step-regex", r"going on from iteration (\d+)", "--result-file", "{out}/run/model.safetensors"),
            *("--modes", "before,torn,term,unsynced", "--max-points", "12", "--grace", "60", "--"),
            *(sys.executable, "-m", "multisigma", "train", "--preset", "tiny", "--data", str(tmp_path / "root")),
            *("--out", "{out}/run", "--encoder", "test_resnet", "--encoder-weights", "none", "--aspp-channels", "8"),
            *("--decoder-channels", "8", "--batch-size", "2", "--crop", "32x64", "--workers", "0", "--log-every", "1"),
            *("--accelerator", "cpu", "--iterations", "3", "--checkpoint-every", "1", "--validate-every", "2"),
            "--resume-or-start",
        ],
        check=True,
        timeout=3600,
    )
