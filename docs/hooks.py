"""Hooks of the site: add pages of files that others link to, and write formulas as MathML."""

from __future__ import annotations

import html
import json
import os.path
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PREFIX = "repository/"
PICTURES = (".png", ".gif", ".jpg", ".webp")
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside `docs/`: each file as the page `repository/PATH.md`, a picture as it is."""
    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    done: set[Path] = set()
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target in done or not _is_outside(target):
                continue
            done.add(target)
            if target.suffix in PICTURES:
                files.append(File.generated(config, _uri(target), content=target.read_bytes()))
                continue
            text = target.read_text(encoding="utf-8") if target.is_file() else _listing(target)
            if target.suffix == ".md":
                waiting.append(target)
            elif target.suffix == ".ipynb":
                text = _notebook(text)
            else:
                text = f"# {target.relative_to(ROOT)}\n\n~~~~{target.suffix[1:]}\n{text}~~~~\n"
            files.append(File.generated(config, _uri(target), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at files of the repository to their pages on the site."""
    uri = page.file.src_uri
    source = ROOT / uri.removeprefix(PREFIX).removesuffix(".md") if uri.startswith(PREFIX) else DOCS / uri

    def rewritten(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        if uri.startswith(PREFIX) and DOCS in target.parents:
            return os.path.relpath(target.relative_to(DOCS), Path(uri).parent)
        if target == ROOT / "README.md":
            return os.path.relpath("index.md", Path(uri).parent)
        return os.path.relpath(_uri(target), Path(uri).parent) if _is_outside(target) else match[1]

    return LINK.sub(rewritten, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which browsers render without a script or a font."""
    return FORMULA.sub(
        lambda match: convert(html.unescape(match[2]), display="block" if match[1] == "div" else "inline"), content
    )


def _notebook(text: str) -> str:
    """Return a notebook's cells as Markdown."""
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"])
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells)


def _is_outside(target: Path) -> bool:
    """Whether a link's target is in the repository but not in `docs/`. README.md is the site's own first page."""
    inside = target.exists() and ROOT in target.parents
    return inside and DOCS not in (target, *target.parents) and target != ROOT / "README.md"


def _uri(target: Path) -> str:
    return f"{PREFIX}{target.relative_to(ROOT).as_posix()}{'' if target.suffix in PICTURES else '.md'}"


def _listing(folder: Path) -> str:
    return "".join(f"{path.name}\n" for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__")))
