"""Tables that several experiments share: methods side by side, and the differences of one to all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multisigma.experiments.page import Page, estimate, interval
from multisigma.experiments.results import METRICS, Result
from multisigma.experiments.statistics import delta_m, gain_over_seeds, over_frames, over_seeds, paired, t_interval
from multisigma.experiments.study import TASKS, Study

HEADINGS = ("IoU %", "instance px", "depth px")
GAINS = tuple(f"gain in {heading.split()[0]}, %" for heading in HEADINGS)
MAIN = [keys[0] for keys in METRICS.values()]
_ALL_KEYS = [key for keys in METRICS.values() for key in keys]

Results = Mapping[str, Sequence[Result]]
"""The results of each row, by its name."""


def mean_last_weights(results: Sequence[Result]) -> dict[str, float]:
    """Return each task's last logged weight, averaged over the results; two digits, so that runs can be shared."""
    tasks = [task for task in TASKS if any(f"weight/{task}" in result.curves for result in results)]
    means = {task: sum(result.last(f"weight/{task}") for result in results) / len(results) for task in tasks}
    return {task: float(f"{mean:.2g}") for task, mean in means.items()}


def add_comparison(
    page: Page,
    study: Study,
    results: Results,
    singles: Results,
    paper: Mapping[str, Sequence[float | None]] | None = None,
) -> None:
    """Add the table of all rows: weights, the main numbers, delta-m over tasks and metrics, and the paper's numbers.

    Args:
        page: The page.
        study: The study.
        results: Results of each row over seeds.
        singles: Those of the single-task networks, by task, which delta-m refers to.
        paper: The paper's main numbers by the row's name.
    """
    _, frames = study.frames()
    references = {
        key: over_seeds(singles[task], key, frames).mean for task in singles for key in METRICS[task] if singles[task]
    }
    rows = []
    for name, found in results.items():
        gains = [
            t_interval([_delta(result, references, frames, over) for result in found]) for over in ("tasks", "metrics")
        ]
        known = [f"{value:g}" if value else "-" for value in (paper or {}).get(name, (None,) * len(MAIN))]
        rows.append(
            [
                name,
                _weights(found),
                *[estimate(over_seeds(found, key, frames)) for key in MAIN],
                *[estimate(value, 3) for value in gains],
                *(known if paper else []),
            ]
        )
    columns = ["", "weights " + " / ".join(TASKS), *HEADINGS, "Δm % over tasks", "over metrics"]
    page.table([*columns, *(f"paper: {heading}" for heading in (HEADINGS if paper else ()))], rows)
    page.text(
        "Δm is the mean gain over the single-task networks, over the tasks that a row has: 'over tasks' takes the "
        "number shown of each task, 'over metrics' the mean over "
        f"{', '.join(f'`{key}`' for key in _ALL_KEYS)}."
    )


def _delta(result: Result, references: Mapping[str, float], frames: Sequence[str], over: str) -> float:
    return delta_m({key: result.value(key, frames) for key in _ALL_KEYS}, references, over)


def _weights(results: Sequence[Result]) -> str:
    if not results:
        return "-"
    means = mean_last_weights(results)
    return " / ".join(f"{means[task]:g}" if task in means else "-" for task in TASKS)


def add_differences(page: Page, study: Study, results: Results, name: str) -> None:
    """Add the differences of one row to each other row, each with its interval over seeds and over frames."""
    _, frames = study.frames()
    rows = []
    for other, found in results.items():
        if other == name or not found or not results[name]:
            continue
        for key, heading in zip(MAIN, HEADINGS, strict=True):
            difference = paired(results[name], found, key, frames)
            if difference.mean == difference.mean:
                ends = over_frames(results[name], found, key, frames)
                rows.append([other, heading, estimate(difference, 3), interval(ends)])
    page.table(["against", "number", "difference", "95 % over frames"], rows)
    page.text(
        f"Difference: '{name}' minus the other row, paired by seed. A larger IoU is better; smaller errors are. The "
        "last column is a bootstrap over validation frames of the means over seeds."
    )


def paired_gains(found: Sequence[Result], base: Sequence[Result], frames: Sequence[str]) -> list[str]:
    """Return the gain of each main number over the same seed of the base, over seeds."""
    return [estimate(gain_over_seeds(found, base, [key], frames), 3) for key in MAIN]
