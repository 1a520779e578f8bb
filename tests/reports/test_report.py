"""The report: complete, self-contained, and honest about what is missing."""

import base64
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.errors import MultisigmaError
from multisigma.metrics import Evaluation, Measurement
from multisigma.reports.report import write_report
from multisigma.reports.samples import write_samples
from multisigma.visualization.picture import Picture, Sample

RunMaker = Callable[[Path], Path]
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Text and attributes of a page; checks that tags are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def pictures(self) -> list[np.ndarray]:
        """Every embedded picture, decoded, RGB or RGBA as OpenCV orders it."""
        sources = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        data = [base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) for source in sources]
        return [np.asarray(cv2.imdecode(np.frombuffer(item, np.uint8), cv2.IMREAD_UNCHANGED)) for item in data]


def test_a_whole_run(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "my run")
    path = write_report(run)
    assert path == run / "report.html"
    page = Page(path)

    for words in (
        "my run",
        "semantic, instance and depth, with uncertainty weighting",
        "trained in 3 min 12 s",
        "Report of the training run my run",
        "Results: data-val data demo/data · split val · frames 24",
        "IoU class ↑ 42.1 % better than the baseline's 11.9 %",
        "All 5 numbers Metric",
        "25.0 % of road taken for sidewalk, 25.0 % of sidewalk taken for building",
        "train neither labelled nor predicted -",
        "rider labelled, but never predicted",
        "road 75 25 sidewalk 75 25",
        "IoU class % ↑ lindenau_000001_000019 7.50 rosenfurt_000002_000019 11.2",
        "depth, m 500 100 50 20",
        "prediction right wrong",
        "1 more frame town_000001_000019",
        "IoU class % ↑ 42.1 - 11.9 3.55",
        "Disparity mean error px ↓ 0.801 0.700 to 0.900 1.60 0.500",
        "traffic light",
        "town_000001_000019",
        "not labelled",  # the second frame's depth
        "semantic: loss",
        "depth: noise = 1 / weight",
        "depth: \N{GREEK SMALL LETTER SIGMA}",
        "weights",
        "Noise of depth / noise",
        "instance 4.03 0.284 4.03 0.248",
        "learning rate",
        "decoder: depth 2.95 M 3.2 G",
        "total 23.2 M 25.1 G",
        "0123456789abcdef0123456789abcdef01234567",
        "Instance mean error, Instance mean component error Of the vectors",
        "Disparity mean error What Disparity mean error is.",
    ):
        assert words in page.text, words
    # Two frames of an image, four pairs and an error, one truth not labelled; the colour wheel.
    assert len(page.pictures()) == 2 * 10 - 1 + 1
    assert sum(picture.shape[2] == 4 for picture in page.pictures()) == 1
    assert page.text.startswith("my run: semantic, instance, depth \N{EN DASH} report of a multisigma run")


def test_pictures_stand_before_tables_which_are_folded(make_run: RunMaker, tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "run")).read_text(encoding="utf-8")
    first = text.index("<img")
    assert text.index('class="tiles"') < first < text.index("<table") < text.index("<h2>Training")
    results = text[: text.index("<h2>Training")]
    # Each table of the results is inside a fold, and scrolls by itself.
    for place in (i for i in range(len(results)) if results.startswith("<table", i)):
        assert results.count("<details", 0, place) == results.count("</details", 0, place) + 1
        assert 'class="card scroll"' in results[results.rindex("<details", 0, place) : place]


def test_the_newest_evaluation_comes_first(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name, day in (("a-test", "2026-11-25"), ("b-test", "2026-11-24")):
        place = run / "evaluations" / name
        place.mkdir()
        Evaluation([Measurement("ap", 5.0, "%", True, "AP.")], provenance={"evaluated": day}).write(place)
    text = Page(write_report(run)).text
    assert text.index("Results: a-test") < text.index("Other evaluations") < text.index("Results: b-test")
    assert text.index("Results: b-test") < text.index("Results: data-val")


def test_nothing_is_fetched_from_elsewhere(make_run: RunMaker, tmp_path: Path) -> None:
    path = write_report(make_run(tmp_path / "run"))
    for tag, name, value in Page(path).attributes:
        assert tag != "link"
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    text = path.read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(http" not in text


def test_tasks_come_from_the_data(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "config.yaml").write_text("tasks: [normals]\n")
    folder = run / "logs" / "csv" / "0"
    (folder / "metrics.csv").write_text("step,epoch,loss/normals,sigma/normals\n0,0,1,1\n1,0,0.5,0.9\n")
    (run / "logs" / "csv" / "300" / "metrics.csv").unlink()
    (run / "network.json").unlink()
    shutil.rmtree(run / "evaluations")
    place = run / "evaluations" / "streets-val"
    place.mkdir(parents=True)
    found = [Measurement("normals_cosine", value, "", True, "The cosine.") for value in (3.0, 2.0)]
    Evaluation(found[:1], found[1:]).write(place)
    write_samples(place / "samples", [Sample("frame", [Picture("Normals", np.zeros((4, 8, 3), np.uint8), None)])])
    page = Page(write_report(run))
    assert "normals: \N{GREEK SMALL LETTER SIGMA}" in page.text
    assert "Normals cosine ↑ 3.00 - 2.00 1.50" in page.text
    assert "semantic" not in page.text
    assert len(page.pictures()) == 1  # no colour wheel where no vectors are shown


@pytest.mark.parametrize("config", ["{}", "tasks: depth", "tasks: [depth]\nnested: {a: {b: 1}}\n"])
def test_a_run_that_has_only_begun(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.yaml").write_text(config)
    page = Page(write_report(tmp_path))
    assert "has not been evaluated yet" in page.text
    assert f"multisigma evaluate {tmp_path} --data ROOT" in page.text
    assert "Nothing has been logged yet" in page.text
    assert ("nested.a.b 1" in page.text) == ("nested" in config)


def test_wide_pictures_are_reduced_in_the_report_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    place = tmp_path / "evaluations" / "streets-val"
    place.mkdir(parents=True)
    Evaluation([]).write(place)
    pixels = np.full((1024, 2048, 3), (9, 8, 7), np.uint8)
    write_samples(place / "samples", [Sample("frame", [Picture("Image", pixels, None)])])
    (picture,) = Page(write_report(tmp_path)).pictures()
    assert picture.shape == (512, 1024, 3)
    assert picture[0, 0].tolist() == [7, 8, 9]


def test_text_from_files_is_escaped(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "environment.json").write_text(json.dumps({"cpu": "<script>alert(1)</script>"}))
    path = write_report(run)
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" in Page(path).text


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MultisigmaError, match=r"not a run folder.*multisigma train"):
            write_report(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "a: [1"),
        ("config.yaml", "- a"),
        ("evaluations/data-val/metrics.json", '{"iou_class": 0.'),
        ("evaluations/data-val/metrics.json", "[]"),
        ("network.json", "{}"),
        ("network.json", '[{"part": "encoder"}]'),
        (
            "evaluations/data-val/samples/samples.json",
            '[{"frame": "a", "pictures": [{"title": "I", "prediction": "b.png", "truth": null, "error": null, '
            '"scale": null, "error_scale": null}]}]',
        ),
        ("evaluations/data-val/samples/samples.json", '[{"frame": "a", "pictures": [{"title": "Image"}]}]'),
        (
            "evaluations/data-val/samples/samples.json",
            '[{"frame": "a", "pictures": [{"title": "I", "prediction": "../x.png", "truth": null, "error": null, '
            '"scale": null, "error_scale": null}]}]',
        ),
        ("evaluations/data-val/samples/legend.json", '["road"]'),
    ],
)
def test_a_damaged_file_is_named_and_the_old_report_stays(
    make_run: RunMaker, tmp_path: Path, name: str, content: str
) -> None:
    run = make_run(tmp_path / "run")
    (run / "x.png").write_bytes(b"")
    (run / "report.html").write_text("old")
    (run / name).write_text(content)
    before = sorted(run.iterdir())
    with pytest.raises(MultisigmaError, match=name):
        write_report(run)
    assert (run / "report.html").read_text() == "old"
    assert sorted(run.iterdir()) == before
