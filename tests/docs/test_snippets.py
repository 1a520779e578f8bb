"""What the pages show: every Python block runs, every link leads somewhere, every measured table is the measurement."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def around_the_readme() -> dict[str, Any]:
    """What the README's ten lines leave to the reader: a model, its data, and its losses."""
    model = nn.Linear(4, 3)

    def losses_of(outputs: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
        error = outputs - target
        return {"semantic": error[:, 0].abs().mean(), "depth": (error[:, 1].abs().sum(), 5), "pose": None}

    return {"model": model, "losses_of": losses_of, "batches": [(torch.randn(5, 4), torch.randn(5, 3))] * 3}


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=lambda page: page.name)
def test_python_blocks_run(page: Path) -> None:
    """The blocks of a page run one after the other, as a reader would paste them."""
    text, names = page.read_text(), around_the_readme() if page.name == "README.md" else {}
    torch.manual_seed(0)
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{target}: {anchors}"


def table(rows: list[dict[str, Any]], columns: dict[str, tuple[str, str]]) -> str:
    """A Markdown table of a benchmark's rows: for each column its heading and format."""
    headings = [heading for heading, _ in columns.values()]
    lines = [headings, ["---"] * len(headings)]
    for row in rows:
        values = [row[name]["mean"] if isinstance(row[name], dict) else row[name] for name in columns]
        lines.append([form.format(value) for value, (_, form) in zip(values, columns.values(), strict=True)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_tables_of_the_softmax_approximation_are_the_measurement() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "softmax_approximation.json").read_text())
    page = (ROOT / "docs" / "weighting-theory.md").read_text()
    setting = {"training": ("training", "{}"), "flip rate": ("labels flipped", "{:.0%}")}
    at_fixed_logits = setting | {
        "cross entropy": ("L", "{:.2f}"),
        "sigma^2 exact": ("σ² exact", "{:.2f}"),
        "sigma^2 approximate": ("σ² eq. 10", "{:.2f}"),
        "NLL at sigma^2 exact": ("NLL at the exact σ²", "{:.3f}"),
        "NLL at sigma^2 approximate": ("NLL at eq. 10's", "{:.3f}"),
        "gradient multiplier exact": ("multiplier exact", "{:.2f}"),
        "gradient multiplier approximate": ("multiplier eq. 10", "{:.2f}"),
    }
    learned_together = setting | {
        "form": ("form", "{}"),
        "sigma^2 of the digit": ("digit, σ²", "{:.2g}"),
        "weight of the digit": ("1/σ²", "{:.3g}"),
        "accuracy on true labels": ("accuracy, true labels", "{:.1%}"),
        "NLL": ("NLL, noisy labels", "{:.2f}"),
        "temperature that is left": ("temperature left", "{:.2f}"),
        "sigma of the ink": ("sigma of the ink", "{:.3f}"),
        "RMS error of the ink": ("RMS error, ink", "{:.3f}"),
    }
    some = [row for row in measured["learned together"] if row["flip rate"] in (0.0, 0.2, 0.6)]
    for expected in (table(measured["at fixed logits"], at_fixed_logits), table(some, learned_together)):
        assert expected in page, f"the page should have\n{expected}"


def test_table_of_the_methods_costs_is_the_measurement() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "weighting.json").read_text())["whole steps"]
    lines = ["| method | ours | TorchJD | LibMTL |", "| --- | --- | --- | --- |"]
    for method, packages in measured.items():
        cells = [
            f"{packages[name]['time to plain sum']['median']:.2f}, {packages[name]['peak MiB']:.0f} MiB"
            if name in packages
            else ""
            for name in ("ours", "TorchJD", "LibMTL")
        ]
        if any(cells):
            lines.append(f"| {' | '.join([method, *cells])} |")
    expected = "\n".join(lines) + "\n"
    assert expected in (ROOT / "docs" / "weighting-methods.md").read_text(), f"the page should have\n{expected}"
