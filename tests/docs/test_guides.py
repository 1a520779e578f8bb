"""The guides reach their end by copy and paste; commands on all other pages are ones that there are."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import multisigma
from multisigma.cli.arguments import parse
from multisigma.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
GUIDES = sorted(page for page in (ROOT / "docs" / "guides").glob("*.md") if page.name != "index.md")
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Hours of training, and a network with fetched weights, become seconds. Generated data has no split 'test'.
SHORTER = {
    "--preset table1": "--preset demo --iterations 4",
    "--preset full": "--preset demo --iterations 4",
    "--preset demo": "--preset demo --workers 0",
    "--devices 4": "",
    "--split test": "--split val",
    "iterations: 300": "iterations: 4",
}


def commands_of(page: Path) -> list[str]:
    """Return the commands of a page's blocks: of those marked as `sh`, and of those without a mark."""
    found = []
    for language, _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh"):
            lines = text.replace("\\\n", " ").splitlines()
            found += [line.split(" #")[0].strip() for line in lines if line.startswith("multisigma ")]
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.name)
def test_commands_have_these_options(page: Path) -> None:
    from importlib import import_module

    for line in commands_of(page):
        _, name, *arguments = shlex.split(line)
        arguments = [re.sub(r"^--weighting\.", "--weighting-options.", argument) for argument in arguments]
        if "COMMAND" in name or "--help" in arguments or "..." in arguments:
            continue
        assert name in COMMANDS, line
        if "--config" not in arguments:  # which would have to be there
            parse(import_module(f"multisigma.cli.{name}").make_parser(arguments), arguments)


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_guide_reaches_its_end(guide: Path, tmp_path: Path) -> None:
    """A file for each block with a title; each block of commands by a shell, each block of Python by Python."""
    binaries = Path(sys.executable).parent
    source = Path(multisigma.__file__).parents[1]
    environment = os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(source)}
    python = ""
    for language, title, text in BLOCK.findall(guide.read_text(encoding="utf-8")):
        for long, short in SHORTER.items():
            text = text.replace(long, short)
        if title:
            (tmp_path / title).write_text(text)
            continue
        if language == "sh":
            lines = [line.replace("PYTHONPATH=.", f"PYTHONPATH=.:{source}") for line in text.splitlines()]
            script = "\n".join(["set -e", *(line for line in lines if not line.startswith("pip "))])
            command = ["bash", "-c", script]
        elif language == "python":
            # What earlier blocks have defined stays defined.
            python += text
            command = [sys.executable, "-c", python]
        else:
            continue
        paths = environment | {"PYTHONPATH": f"{tmp_path}:{source}"}
        done = subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
