"""The claims of the paper, each with a verdict from the results in a folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from multisigma.experiments import figure2, figure5, figure6, figure7, relations, table1, units
from multisigma.experiments.comparison import HEADINGS, MAIN
from multisigma.experiments.noise import distance_from_optimum
from multisigma.experiments.page import Page, add_origin, estimate, number
from multisigma.experiments.results import METRICS, Result
from multisigma.experiments.statistics import Estimate, gain, gain_over_seeds, t_interval
from multisigma.experiments.study import TASKS, Study, load
from multisigma.experiments.tuning import Method, reported
from multisigma.training.config import TrainConfig

# Those of table 1. Claims of other experiments take what they have.
SEEDS = 5
Word = Literal["held", "not held", "undecided"]
# A difference that nobody would tune weights for, in per cent.
_SMALL = 2.0


@dataclass(frozen=True)
class Verdict:
    """The verdict of the results on a claim.

    Args:
        word: Whether the claim held.
        numbers: The numbers that decide, with intervals.
        limits: What would change the verdict.
    """

    word: Word
    numbers: str
    limits: str


def of_gains(gains: Mapping[str, Estimate]) -> Word:
    """Return whether one method beats another: in every number, each interval above 0.

    It is refuted where one interval lies below 0. Everything else is undecided, and so is a single seed.

    Args:
        gains: Gain in per cent of the claimed winner, by the name of the number.

    Example:
        >>> of_gains({"IoU": Estimate(2.0, 1.0, 3.0)}), of_gains({"IoU": Estimate(-2.0, -3.0, -1.0)})
        ('held', 'not held')
        >>> of_gains({"IoU": Estimate(2.0, -1.0, 5.0)}), of_gains({})
        ('undecided', 'undecided')
    """
    if any(e.high < 0 for e in gains.values()):
        return "not held"
    return "held" if gains and all(e.low > 0 for e in gains.values()) else "undecided"


def gains_over(
    study: Study, winner: Sequence[Result], loser: Sequence[Result], tasks: Sequence[str] = TASKS
) -> dict[str, Estimate]:
    """Return the gain in per cent of one method over another in each task's main number, paired by seed."""
    _, frames = study.frames()
    other = {result.config.seed: result for result in loser}
    both = [(result, other[result.config.seed]) for result in winner if result.config.seed in other]
    found = {}
    for task in tasks:
        key = METRICS[task][0]
        values = t_interval([gain(key, one.value(key, frames), two.value(key, frames)) for one, two in both])
        if not math.isnan(values.mean):
            found[HEADINGS[TASKS.index(task)].split()[0]] = values
    return found


def _gain_text(gains: Mapping[str, Estimate]) -> str:
    return "; ".join(f"{name} {estimate(value, 3)} %" for name, value in gains.items()) or "no runs yet"


def _beats(study: Study, winner: Sequence[Result], loser: Sequence[Result], limits: str) -> Verdict:
    gains = gains_over(study, winner, loser)
    return Verdict(of_gains(gains), _gain_text(gains), limits)


def _rows(study: Study) -> dict[str, list[Result]]:
    rows: list[Method] = table1.methods(study)
    return {method.name: reported(study, method) for method in rows}


_SHORT = "A longer training, a larger network or Cityscapes: the runs are short."


def beats_single_tasks(study: Study) -> Verdict:
    rows = _rows(study)
    gains: dict[str, Estimate] = {}
    for task, name in zip(TASKS, ("segmentation only", "instance only", "depth only"), strict=True):
        gains |= gains_over(study, rows[table1.ALL], rows[name], [task])
    return Verdict(of_gains(gains), _gain_text(gains), _SHORT)


def beats_equal_weights(study: Study) -> Verdict:
    rows = _rows(study)
    limits = (
        "Losses of other scales: in pixels the three losses are of similar size here, which flatters equal weights."
    )
    return _beats(study, rows[table1.ALL], rows["unweighted sum"], limits)


def beats_the_grid(study: Study) -> Verdict:
    rows = _rows(study)
    limits = f"A finer grid than one of {len(table1.GRID)} points; more seeds."
    return _beats(study, rows[table1.ALL], rows.get("best weights of a coarse grid", []), limits)


def weights_must_change(study: Study) -> Verdict:
    rows = _rows(study)
    limits = "Section 5.1 gives two explanations. If this one does not hold, the grid was too coarse."
    return _beats(study, rows[table1.ALL], rows.get("frozen at the learned final values", []), limits)


def beats_the_grid_of_two(study: Study) -> Verdict:
    gains: dict[str, Estimate] = {}
    for task in figure2.PAPER:
        pair = (task, "depth")
        found = gains_over(study, figure2_learned(study, task), study.found(figure2.best_of_grid(study, task)), pair)
        gains |= {f"{name} with {' and '.join(pair)}": value for name, value in found.items()}
    return Verdict(of_gains(gains), _gain_text(gains), "More seeds; a grid with one rate of its own for each point.")


def figure2_learned(study: Study, task: str) -> list[Result]:
    """Return the runs of two tasks with learned weights."""
    return study.found(figure2.learned(study, task))


def weights_matter(study: Study) -> Verdict:
    """The spread of the grid, against that of the seeds."""
    _, frames = study.frames()
    parts, ratios = [], []
    for task in figure2.PAPER:
        key = METRICS[task][0]
        inner = [r for r in study.found(figure2.grid(study, task)) if len(r.config.tasks.values) == 2]
        values = [result.value(key, frames) for result in inner]
        of_seeds = [result.value(key, frames) for result in figure2_learned(study, task)]
        if len(values) < 2 or len(of_seeds) < 2:
            continue
        spread, noise = max(values) - min(values), max(of_seeds) - min(of_seeds)
        ratios.append(spread / noise if noise else math.inf)
        parts.append(f"{HEADINGS[TASKS.index(task)]} from {number(min(values))} to {number(max(values))}")
    if not ratios:
        return Verdict("undecided", "no runs yet", _SHORT)
    word: Word = "held" if min(ratios) > 3 else "not held" if max(ratios) < 1 else "undecided"
    shown = f"{'; '.join(parts)}: {', '.join(number(r, 2) for r in ratios)} times the range of the seeds"
    return Verdict(word, shown, "More seeds on the grid, which has one.")


def company_of_depth(study: Study) -> Verdict:
    depth, instance = (relations.pair_gain(study, "semantic", helper) for helper in ("depth", "instance"))
    shown = f"IoU gains {estimate(depth, 3)} % from depth, {estimate(instance, 3)} % from instances"
    if math.isnan(depth.low) or math.isnan(instance.low):
        return Verdict("undecided", shown, _SHORT)
    word: Word = "held" if depth.low > instance.high else "not held" if depth.high < instance.low else "undecided"
    return Verdict(word, shown, _SHORT)


def noise_converges(study: Study) -> Verdict:
    limits = "Another learning rate of the noise; starts beyond 0.135 to 148."
    steps = {task: figure6.agreements(study, task, 1.25) for task in TASKS}
    if not steps[TASKS[0]]:
        return Verdict("undecided", "no seed has run from all starts", limits)
    word: Word = "not held" if any(math.isnan(step) for of_seeds in steps.values() for step in of_seeds) else "held"
    shown = "; ".join(f"{task} {', '.join(number(step, 3) for step in of_seeds)}" for task, of_seeds in steps.items())
    return Verdict(
        word, f"iteration from which all starts agree within a factor of 1.25, one for each seed: {shown}", limits
    )


def noise_is_optimal(study: Study) -> Verdict:
    results = study.found(figure7.plan(study))
    found = {task: t_interval([distance_from_optimum(r, task) for r in results]) for task in TASKS}
    if not results:
        return Verdict("undecided", "no runs yet", _SHORT)
    worst = max(value.mean for value in found.values())
    word: Word = "held" if worst < 1.25 else "not held" if worst > 2 else "undecided"
    shown = ", ".join(f"{task} {estimate(value, 3)}" for task, value in found.items())
    limits = "A longer training. The page `optimum` shows it for every likelihood where the loss stands still."
    return Verdict(word, f"largest factor between learned and closed form at the end: {shown}", limits)


def effective_rate_grows(study: Study) -> Verdict:
    results = study.found(figure7.plan(study))
    rates: dict[str, list[float]] = {task: [] for task in TASKS}
    for result in results:
        for task in TASKS:
            weights = result.curves[f"weight/{task}"][1]
            rates[task].append(weights[-1] / weights[0])
    found = {task: t_interval(values) for task, values in rates.items()}
    if not results:
        return Verdict("undecided", "no runs yet", _SHORT)
    word: Word = "held" if all(e.low > 1 for e in found.values()) else "undecided"
    if any(e.high < 1 for e in found.values()):
        word = "not held"
    shown = ", ".join(f"{task} {estimate(value, 3)}" for task, value in found.items())
    return Verdict(word, f"weight at the end over weight at the start: {shown}", "Another start of the noise.")


def no_tuning_after_a_change_of_unit(study: Study) -> Verdict:
    _, frames = study.frames()
    parts, worst = [], {}
    for name in (units.LEARNED, units.CLOSED_FORM, "equal"):
        base = study.found(study.of_seeds(units.weightings(study, {})[name]))
        found = {
            unit: study.found(study.of_seeds(units.weightings(study, change)[name]))
            for unit, change in units.UNITS.items()
            if change and "last layer" not in unit
        }
        changes = {unit: gain_over_seeds(results, base, MAIN, frames) for unit, results in found.items()}
        known = {unit: e for unit, e in changes.items() if not math.isnan(e.mean)}
        if not known:
            return Verdict("undecided", "no runs yet", _SHORT)
        unit = min(known, key=lambda unit: known[unit].mean)
        worst[name] = known[unit]
        parts.append(f"{name}: {estimate(known[unit], 3)} % at worst ({unit})")
    word: Word = "undecided"
    if worst[units.LEARNED].low > -_SMALL:
        word = "held"
    elif worst[units.LEARNED].high < -_SMALL:
        word = "not held"
    return Verdict(word, "; ".join(parts), "A start of the noise near the first losses; see `units`.")


def depth_is_smoother(study: Study) -> Verdict:
    alone, together = (
        figure5.measured(study.found(figure5.runs(study, name)), "disparity_roughness_px")
        for name in (figure5.ALONE, figure5.ALL)
    )
    gains = t_interval([100 * (1 - together[seed] / alone[seed]) for seed in together if alone.get(seed)])
    found = {} if math.isnan(gains.mean) else {"roughness": gains}
    return Verdict(of_gains(found), _gain_text(found), _SHORT)


def errors_agree_in_place(study: Study) -> Verdict:
    results = study.found(figure5.runs(study, figure5.ALL))
    found = {pair: figure5.correlation(results, pair) for pair in figure5.PAIRS}
    shown = ", ".join(f"{' and '.join(pair)} {estimate(value, 2)}" for pair, value in found.items())
    limits = "The paper says strongly and gives no number; here a correlation above 0.1 counts."
    word: Word = "undecided"
    if all(value.low > 0.1 for value in found.values()):
        word = "held"
    elif any(value.high < 0.1 for value in found.values()):
        word = "not held"
    return Verdict(word, shown if results else "no runs yet", limits)


CLAIMS: Sequence[tuple[str, str, Callable[[Study], Verdict]]] = (
    ("One network with learned weights beats three networks", "abstract, table 1", beats_single_tasks),
    ("Learned weights beat equal weights", "table 1", beats_equal_weights),
    ("Learned weights beat the best weights of a grid, three tasks", "section 5.1, table 1", beats_the_grid),
    ("Learned weights beat the best weights of a grid, two tasks", "figure 2", beats_the_grid_of_two),
    ("They do so because weights must change during training", "section 5.1", weights_must_change),
    ("Results depend strongly on the weights", "section 1, figure 2", weights_matter),
    ("Depth helps semantics more than instances do", "section 6, table 1", company_of_depth),
    ("The noise converges to the same values from any start", "appendix B, figure 6", noise_converges),
    ("The learned noise is at its optimum", "section 3.2", noise_is_optimal),
    ("Weights, and with them the effective learning rate, grow", "appendix B, figure 7", effective_rate_grows),
    ("Depth is smoother in company", "figure 5", depth_is_smoother),
    ("The tasks' errors are strongly correlated in place", "appendix D", errors_agree_in_place),
    ("A change of unit needs no new weights if they are learned", "section 1", no_tuning_after_a_change_of_unit),
)
UNTESTED = {
    "State of the art on the test set of Cityscapes (table 2)": "it needs Cityscapes and its server, see `table2`",
    "Weights learned directly in equation 1 collapse to zero (section 3.2)": (
        "it follows from the equation on any data; examples/ shows it"
    ),
}


def plan(study: Study) -> list[TrainConfig]:
    """Return nothing: this page reads the runs of the other experiments."""
    return []


def page(study: Study) -> Page:
    made = Page("The claims of the paper")
    for experiment in (table1, figure2, figure5, figure6, figure7, relations, units):
        load(experiment, study)
    found = [(claim, place, verdict(study)) for claim, place, verdict in CLAIMS]
    made.text(
        "Each claim with a verdict from the runs in this folder. **Held**: the 95 % interval over seeds excludes 0 in "
        "every number of the claim, or what the claim says is seen. **Not held**: the interval lies on the other side "
        "in one, or the opposite is seen. **Undecided**: everything else. Gains are in per cent of the main numbers, "
        "paired by seed; a gain is positive where the IoU rises or an error falls."
    )
    made.table(
        ["claim", "place", "verdict", "numbers", "what would change it"],
        [[claim, place, f"**{v.word}**", v.numbers, v.limits] for claim, place, v in found],
    )
    made.heading("What these runs do not decide")
    made.text("\n".join(f"- {claim}: {why}." for claim, why in UNTESTED.items()))
    add_origin(made, "verdicts", study)
    return made
