"""Faults of data on disk, in words for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from multisigma.errors import MultisigmaError

__all__ = ["CheckReport", "DataError", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one file or folder.

    Args:
        path: The file or folder at fault.
        rule: What must hold, a clause such as 'label ids must lie in 0 to 33'.
        found: What was found instead.
        remedy: What to do about it, a sentence.
    """

    path: Path
    rule: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; found {self.found}. {self.remedy}"


class DataError(MultisigmaError):
    """Data that breaks one or more rules; the message names the first few.

    Args:
        *problems: All faults that are known, at least one.
    """

    _SHOWN = 5

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        lines = [str(problem) for problem in self.problems[: self._SHOWN]]
        if len(self.problems) > self._SHOWN:
            lines.append(f"... and {len(self.problems) - self._SHOWN} more; `multisigma check ROOT` lists all of them.")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The contents of a data set, and its faults.

    Args:
        splits: For each split by its name, the number of 'frames' and of those with each field of labels.
        problems: All faults, sorted by path; none if the data set is sound.
        warnings: Valid but suspicious layouts.
    """

    splits: dict[str, dict[str, int]]
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)

    def table(self) -> Table:
        """Return the counts as a table for the terminal, one row per split."""
        columns = list(dict.fromkeys(name for counts in self.splits.values() for name in counts))
        table = Table("split", title="frames and those with each kind of label")
        for column in columns:
            table.add_column(column, justify="right")
        for split, counts in self.splits.items():
            table.add_row(escape(split), *(str(counts.get(column, 0)) for column in columns))
        return table
