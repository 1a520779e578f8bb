"""What the pages show: every Python block runs, every link leads somewhere, every measured table is the measurement."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import multisigma

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDES = ROOT / "docs" / "guides"


def has_blocks(page: Path) -> bool:
    """Whether Python blocks of a page run by themselves. In a guide, commands may come first: `test_guides.py`."""
    text = page.read_text()
    return bool(BLOCK.search(text)) and not (page.parent == GUIDES and "\nmultisigma " in text)


def around_the_readme() -> dict[str, Any]:
    """Return what the README's ten lines leave to the reader: a model, its data, and its losses."""
    model = nn.Linear(4, 3)

    def losses_of(outputs: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
        error = outputs - target
        return {"semantic": error[:, 0].abs().mean(), "depth": (error[:, 1].abs().sum(), 5), "pose": None}

    return {"model": model, "losses_of": losses_of, "batches": [(torch.randn(5, 4), torch.randn(5, 3))] * 3}


@pytest.mark.parametrize("page", [page for page in PAGES if has_blocks(page)], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
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
    """Return a Markdown table of a benchmark's rows: for each column its heading and format."""
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


def test_table_of_the_commands_costs_is_the_measurement() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "commands.json").read_text())["rows"]
    columns = {"command": ("command", "`{}`"), "processor seconds": ("processor seconds", "{}")}
    expected = table(rows, columns | {"peak MiB": ("peak memory, MiB", "{}")})
    assert expected in (ROOT / "docs" / "costs.md").read_text(), f"the page should have\n{expected}"


def cells(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table that starts with a heading."""
    text = (ROOT / "docs" / page).read_text()
    rows = text[text.index(f"| {heading} |") :].split("\n\n")[0].strip().splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row]


def test_table_of_the_noise_convergence_is_the_measurement() -> None:
    example = runpy.run_path(str(ROOT / "examples" / "noise_convergence.py"))
    heading, *rows = cells("weighting-theory.md", "initial s")
    assert [int(row[0]) for row in rows] == list(example["STARTS"])
    found = {lr: example["iterations"](lr) for lr in (0.0025, 0.01)}
    for i, name in enumerate(heading[1:], 1):
        likelihood, lr = name.split(", ")
        measured = [found[float(lr)][likelihood, start] for start in example["STARTS"]]
        # Another processor rounds otherwise.
        assert [int(row[i]) for row in rows] == pytest.approx(measured, abs=2)


def test_table_of_the_methods_has_the_size_of_their_state() -> None:
    tasks = ["a", "b", "c"]
    arguments: dict[str, Any] = {"FixedWeighting": [dict.fromkeys(tasks, 1.0)], "DynamicWeightAverage": [tasks, 10]}
    _, *rows = cells("weighting-methods.md", "class")
    assert len(rows) == 21
    for cell, _, _, size, _ in rows:
        name, options = re.fullmatch(r"`(\w+)(?:\((.*)\))?`", cell).groups()  # type: ignore[union-attr]
        if name == "UncertaintyWeighting":
            likelihoods = dict.fromkeys(tasks, multisigma.Laplace())
            weighting = multisigma.UncertaintyWeighting(likelihoods, closed_form=options is not None)
        else:
            more = [options.strip('"')] if options else []
            weighting = getattr(multisigma, name)(*arguments.get(name, [tasks]), *more)
        numbers = sum(value.numel() for key, value in weighting.state_dict().items() if key != "_extra_state")
        times, plus = re.fullmatch(r"(?:(\d*)T)?(?: ?\+? ?(\d+))?", size).groups()  # type: ignore[union-attr]
        assert numbers == (0 if times is None else 3 * int(times or 1)) + int(plus or 0), cell


def test_page_of_faults_names_every_test_and_no_other() -> None:
    name = re.compile(r"\btest_\w+(?!\.py)\b")
    named = set(name.findall((ROOT / "docs" / "faults.md").read_text())) - {"test_faults_of_others"}
    tests = re.findall(
        r"^def (test_\w+)", (ROOT / "tests/weighting/test_faults_of_others.py").read_text(), re.MULTILINE
    )
    assert named == set(tests)


def test_tables_of_videos_are_the_measurement() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "video.json").read_text())
    page = (ROOT / "docs" / "video.md").read_text()
    names = {"tracker": "`Tracker`", "overlap": "largest overlap", "order": "order in the list"}
    identity = [
        {"from": kind, "rule": names[rule], **scores}
        for kind, by_rule in measured["identity"].items()
        for rule, scores in by_rule.items()
    ]
    columns = {
        "from": ("whose objects, frame rate", "{}"),
        "rule": ("how they are numbered", "{}"),
        "switches_per_100_frames": ("switches per 100 frames", "{}"),
        "idf1": ("IDF1", "{:.2f}"),
        "mota": ("MOTA", "{:.2f}"),
    }
    assert table(identity, columns) in page
    depth = [{"name": name, **means} for name, means in measured["depth"].items()]
    columns = {
        "name": ("disparity", "{}"),
        "flicker_percent": ("flicker, % per frame", "{:.2f}"),
        "jumps_per_100": ("jumps of a point in 100 frames", "{:.2f}"),
        "error_px": ("error, px", "{:.3f}"),
        "object_error_px": ("error on objects, px", "{:.3f}"),
    }
    assert table(depth, columns) in page
