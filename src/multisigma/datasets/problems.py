"""What can be wrong with data on disk, said for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multisigma.errors import MultisigmaError

__all__ = ["DataError", "Problem"]


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
