"""The site of the documents: its menu, and that it builds."""

import re
import subprocess
import zlib
from pathlib import Path

import pytest

import multisigma.datasets
import multisigma.instances
import multisigma.metrics
import multisigma.models
import multisigma.synthetic
import multisigma.tasks
import multisigma.tracking

ROOT = Path(__file__).parents[2]
PUBLIC = ("datasets", "instances", "metrics", "models", "synthetic", "tasks", "tracking")


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w/-]+\.md", menu))


@pytest.mark.slow
def test_site_builds_and_fetches_nothing() -> None:
    """The build is strict: a link that leads nowhere fails it. Needs a network, for its environment."""
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "site"
    names = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode().split()
    for package in (multisigma, *(getattr(multisigma, name) for name in PUBLIC)):
        missing = {f"{package.__name__}.{name}" for name in package.__all__} - set(names)
        assert not missing, "the reference lacks public names"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'class="arithmatex"' not in text, f"{page}: a formula was not rendered"
        fetched = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)", text)
        assert not fetched, page
