"""The report of a run: one HTML file that needs nothing else, neither files nor network."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import yaml
from markupsafe import Markup
from numpy.typing import NDArray

from multisigma.datasets.images import read_png
from multisigma.errors import MultisigmaError
from multisigma.files import read_text, read_yaml, remove_leftovers, write_text
from multisigma.metrics import Evaluation, read_evaluations
from multisigma.reports.samples import SIDES
from multisigma.reports.tables import (
    TABLE_2_NOTE,
    VOTES_NOTE,
    MetricRow,
    class_rows,
    metric_rows,
    paper_cells,
    votes_cells,
    written,
    written_interval,
)
from multisigma.visualization.colours import colour_vectors
from multisigma.visualization.curves import PALETTE, Log, curve_figure, figure_svg, read_log, reliability_figure

# Wider pictures are reduced to this width in the report; the files keep their size.
_WIDEST = 1024
_PROVENANCE = ("data", "split", "frames", "model", "checkpoint", "votes", "evaluated", "seconds", "multisigma_version")
_HEADLINE = ("preset", "encoder", "iterations", "batch_size", "weighting", "seed")


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class _Confusion:
    """Shares of the pixels of each true class that are predicted as each class.

    Args:
        classes: Names of the predicted classes.
        rows: Percentages of each class that has a labelled pixel, by its name.
        largest: The confusions of most pixels: true class, predicted class, percentage of the true one.
    """

    classes: Sequence[str]
    rows: Mapping[str, Sequence[float]]
    largest: Sequence[tuple[str, str, float]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """An evaluation as the page shows it."""

    name: str
    provenance: Mapping[str, Any]
    rows: Sequence[MetricRow]
    main_rows: Sequence[MetricRow]
    paper: Mapping[str, Mapping[str, str]]
    votes: Mapping[str, Mapping[str, str]]
    reliability: Sequence[_Curve]
    classes: Sequence[MetricRow]
    reasons: Mapping[str, str]
    confusion: _Confusion | None
    samples: Sequence[Mapping[str, Any]]
    legend: Sequence[Mapping[str, Any]]
    colours: Mapping[str, str]
    has_vectors: bool


def write_report(run: Path) -> Path:
    """Write RUN/report.html from what the run folder holds; what is not there yet is left out or said to be missing.

    Reads `config.yaml`, `environment.json`, `network.json`, `logs/csv/*/metrics.csv` and `evaluations/`, of which the
    newest comes first.

    Args:
        run: A run folder, as training made it.

    Returns:
        The report's path.

    Raises:
        MultisigmaError: If `run` is not a run folder, or one of its files cannot be read; no report is written then,
            and an earlier one stays.
    """
    try:
        return _write_report(run)
    except MultisigmaError:
        raise
    except Exception as error:
        # A stranger's files can hold anything under the right names.
        raise MultisigmaError(
            f"{run}: the files of a run must be as multisigma wrote them. Found {type(error).__name__}: {error}. "
            "Restore them, or remove the evaluation and evaluate again."
        ) from error


def _write_report(run: Path) -> Path:
    config_path = run / "config.yaml"
    if not config_path.is_file():
        raise MultisigmaError(
            f"{run} is not a run folder: it has no config.yaml. Name a folder that `multisigma train --out` made."
        )
    try:
        config = read_yaml(config_path)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unreadable(config_path, "YAML", str(error)) from error
    if not isinstance(config, dict):
        raise _unreadable(config_path, "a YAML mapping", type(config).__name__)

    environment = _read_mapping(run / "environment.json")
    network = _read_entries(run / "network.json", "part", "parameters", "multiply_adds")
    log = read_log(run)
    # An evaluation that was being replaced when its process was killed comes back.
    remove_leftovers(run / "evaluations")
    found = sorted(read_evaluations(run).items(), key=lambda entry: str(entry[1].provenance.get("evaluated", "")))
    evaluations = [_shown_evaluation(run, name, evaluation) for name, evaluation in reversed(found)]
    definitions: dict[str, dict[str, None]] = {}
    for row in (row for shown in evaluations for row in shown.rows):
        definitions.setdefault(row.measurement.definition, {})[row.name] = None
    headline = {name: config[name] for name in _HEADLINE if config.get(name) is not None}
    tasks = config.get("tasks") or []

    page = jinja2.Environment(
        loader=jinja2.PackageLoader("multisigma.reports", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page.filters |= {
        "written": written,
        "interval": written_interval,
        "significant": _significant,
        "shown": _shown,
        "label": _label,
        "count": _count,
    }
    text = page.get_template("report.html.j2").render(
        name=run.resolve().name,
        evaluate=shlex.join(
            ["multisigma", "evaluate", str(run), "--data", str(config.get("data") or "ROOT"), "--split", "val"]
        ),
        tasks=[name.strip() for name in tasks.split(",")] if isinstance(tasks, str) else tasks,
        headline=headline,
        training_time=_duration(environment.get("training seconds")),
        evaluations=evaluations,
        definitions=definitions,
        votes_note=VOTES_NOTE,
        paper_note=TABLE_2_NOTE,
        wheel=_png_uri(_colour_wheel()) if any(shown.has_vectors for shown in evaluations) else None,
        curves=_curves(log),
        noises=_noise_rows(log),
        config=_flat(config),
        environment=_flat(environment),
        network=network,
        total={key: sum(part[key] for part in network) for key in ("parameters", "multiply_adds")},
    )
    path = run / "report.html"
    write_text(path, text)
    return path


def _read_mapping(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no such file."""
    content = _read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise _unreadable(path, "a JSON object", type(content).__name__)
    return content


def _read_entries(path: Path, *fields: str) -> list[dict[str, Any]]:
    """The array of objects in a JSON file, each with these fields; empty when there is no such file."""
    content = _read_json(path) if path.is_file() else []
    _check_entries(content, path, fields)
    return content


def _check_entries(content: Any, path: Path, fields: tuple[str, ...]) -> None:
    if not isinstance(content, list) or not all(
        isinstance(entry, dict) and entry.keys() >= {*fields} for entry in content
    ):
        raise _unreadable(path, "JSON with an array of objects with " + " and ".join(fields), json.dumps(content)[:80])


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, "JSON", str(error)) from error


def _unreadable(path: Path, rule: str, found: str) -> MultisigmaError:
    return MultisigmaError(
        f"{path} should be {rule}. Found: {found}. Restore the file, or remove it and write it again with "
        "`multisigma train` or `multisigma evaluate`."
    )


def _logged_tasks(log: Log) -> list[str]:
    """Return the tasks in the order in which they were logged; `loss/total` is a sum, no task."""
    names = dict.fromkeys(name.split("/", 1)[1] for name in log if name.startswith(("loss/", "sigma/")))
    return [name for name in names if name != "total"]


def _noise_rows(log: Log) -> list[dict[str, Any]]:
    """Return each task's last logged noise, ratio of noises, sigma and weight; None where there is none."""
    kinds = ("noise", "noise_ratio", "sigma", "weight")
    rows = [
        {"task": task}
        | {kind: float(log[name][1][-1]) if (name := f"{kind}/{task}") in log else None for kind in kinds}
        for task in _logged_tasks(log)
    ]
    return [row for row in rows if row["noise"] is not None]


def _curves(log: Log) -> list[_Curve]:
    """Draw each task's loss, noise and sigma, then ratios, weights and every other column, two to a figure."""
    tasks = _logged_tasks(log)
    colours = {task: PALETTE[index % len(PALETTE)] for index, task in enumerate(tasks)}
    figures: dict[str, dict[str, list[str]]] = {}
    for task in tasks:
        panels = {
            "loss": [name for name in (f"loss/{task}", f"val/loss/{task}") if name in log],
            "noise = 1 / weight": [name for name in (f"noise/{task}",) if name in log],
            "\N{GREEK SMALL LETTER SIGMA}": [name for name in (f"sigma/{task}",) if name in log],
        }
        figures[task] = {f"{task}: {title}": names for title, names in panels.items() if names}
    drawn = {name for panels in figures.values() for names in panels.values() for name in names}
    together = {"noise of depth / noise of the task": "noise_ratio", "weights": "weight"}
    rest = {title: [f"{kind}/{task}" for task in tasks if f"{kind}/{task}" in log] for title, kind in together.items()}
    rest = {title: names for title, names in rest.items() if names}
    drawn |= {name for names in rest.values() for name in names}
    rest |= {_label(name): [name] for name in log if name not in drawn}
    titles = list(rest)
    for pair in (titles[start : start + 2] for start in range(0, len(titles), 2)):
        figures[" and ".join(pair)] = {title: rest[title] for title in pair}
    return [
        _Curve(name, Markup(figure_svg(curve_figure(log, panels, colours), name))) for name, panels in figures.items()
    ]


def _shown_evaluation(run: Path, name: str, evaluation: Evaluation) -> _Shown:
    """Read the samples of an evaluation and write its numbers."""
    folder = run / "evaluations" / name / "samples"
    legend = _read_entries(folder / "legend.json", "name", "color")
    samples = _read_entries(folder / "samples.json", "frame", "pictures")
    for sample in samples:
        _check_entries(sample["pictures"], folder / "samples.json", ("title", "scale", "error_scale", *SIDES))
        for picture in sample["pictures"]:
            for side in SIDES:
                picture[side] = picture[side] and _picture_uri(folder, picture[side])
    rows = metric_rows(evaluation)
    paper = paper_cells(evaluation)
    confusion, reasons = _confusion(evaluation)
    return _Shown(
        name=name,
        provenance={key: evaluation.provenance[key] for key in _PROVENANCE if evaluation.provenance.get(key)},
        rows=rows,
        main_rows=[row for row in rows if row.network is not None and row.measurement.is_main],
        paper=paper if any(cell != "-" for cells in paper.values() for cell in cells.values()) else {},
        votes=votes_cells(evaluation),
        reliability=_reliability(name, evaluation),
        classes=class_rows(evaluation),
        reasons=reasons,
        confusion=confusion,
        samples=samples,
        legend=legend,
        colours={entry["name"]: "rgb({}, {}, {})".format(*entry["color"]) for entry in legend},
        has_vectors=any("vector" in p["title"].lower() for sample in samples for p in sample["pictures"]),
    )


def _confusion(evaluation: Evaluation) -> tuple[_Confusion | None, dict[str, str]]:
    """Return the confusion matrix of an evaluation, and why a class has no number or zero, by the class's name."""
    details = next((m.details for m in evaluation.measurements if "confusion" in m.details), None)
    if details is None:
        return None, {}
    names = [*details["classes"], "other classes"]
    pixels = np.column_stack((details["confusion"], details["predicted_other"]))
    labelled, predicted = pixels.sum(1), pixels.sum(0)
    reasons = {}
    for name, of_class, hits, found in zip(names, labelled, pixels.diagonal(), predicted, strict=False):
        if not of_class:
            reasons[name] = "predicted, but in no label" if found else "neither labelled nor predicted"
        elif not hits:
            reasons[name] = "labelled, but predicted elsewhere" if found else "labelled, but never predicted"
    columns = np.flatnonzero(predicted + np.append(labelled, 0))
    shares = 100 * pixels / np.maximum(labelled, 1)[:, None]
    wrong = np.where(np.eye(*pixels.shape) == 1, 0, pixels)
    largest = [divmod(int(place), wrong.shape[1]) for place in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    return _Confusion(
        classes=[names[column] for column in columns],
        rows={names[row]: shares[row, columns].tolist() for row in np.flatnonzero(labelled)},
        largest=[(names[true], names[other], shares[true, other]) for true, other in largest if wrong[true, other]],
    ), reasons


def _reliability(name: str, evaluation: Evaluation) -> list[_Curve]:
    """Draw the reliability diagrams of an evaluation together, if it has any."""
    diagrams = {
        m.title: m.details for m in evaluation.measurements if {"probability", "accuracy", "share"} <= m.details.keys()
    }
    if not diagrams:
        return []
    return [_Curve("reliability", Markup(figure_svg(reliability_figure(diagrams), f"reliability {name}")))]


def _picture_uri(folder: Path, name: str) -> str:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise MultisigmaError(
            f"{folder / 'samples.json'} should name pictures in its own folder. Found {name!r}, which is not there. "
            "Write the samples again with `multisigma evaluate`."
        )
    pixels = read_png(path, "8-bit RGB")
    height, width = pixels.shape[:2]
    if width > _WIDEST:
        size = (_WIDEST, max(round(height * _WIDEST / width), 1))
        return _png_uri(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return _uri(path.read_bytes())


def _png_uri(pixels: cv2.typing.MatLike) -> str:
    # OpenCV keeps blue first, and alpha last as everyone does.
    swap = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return _uri(cv2.imencode(".png", cv2.cvtColor(pixels, swap))[1].tobytes())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _colour_wheel(radius: int = 96) -> NDArray[np.uint8]:
    """The colours of vectors from the centre of a disc to each of its pixels, RGBA with a clear surround."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    rgb = colour_vectors(np.stack((x, y)), float(radius))
    alpha = np.clip(radius - np.hypot(x, y), 0, 1) * 255
    return np.dstack((rgb, alpha.astype(np.uint8)))


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _label(key: str) -> str:
    return key.replace("_", " ").replace("/", " · ")


def _shown(value: Any) -> str:
    """A value of the configuration or environment as text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1000 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def _significant(value: float | None) -> str:
    """Write a noise or a weight, of any size, with three significant digits."""
    return "-" if value is None else f"{value:.3g}"


def _count(value: float) -> str:
    """A large number with three digits and its unit of a thousand, a million or a thousand millions."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 999.5 * size else f"{value / size:,.0f}{unit}"
    return f"{value:g}"


def _duration(seconds: Any) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
