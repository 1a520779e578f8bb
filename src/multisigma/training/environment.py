"""What a result was made with: hardware, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import multisigma

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
)


def describe_environment() -> dict[str, Any]:
    """Hardware, versions of what matters, and the commit where the package runs from a checkout."""
    described: dict[str, Any] = {
        "multisigma": multisigma.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    return described | {name: version(name) for name in _PACKAGES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    folder = Path(multisigma.__file__).parent
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "."])
        )
    except (OSError, subprocess.CalledProcessError):
        return "not from a checkout"
    return f"{commit}, with changes" if changed else commit
