"""Read the `Example:` sections of docstrings as code, which griffe knows only as `Examples:`."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^( *)Example:\n(?=\1 +\S)(.*?)(?=^\1(?:\S)|\Z)", re.MULTILINE | re.DOTALL)


class Examples(Extension):
    """Rename the section, and fence code that has no prompts."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of an object after griffe has loaded it."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(_examples, obj.docstring.value)


def _examples(match: re.Match[str]) -> str:
    indent, code = match[1], textwrap.dedent(match[2]).strip("\n")
    if not code.startswith(">>>"):
        code = f"```python\n{code}\n```"
    return f"{indent}Examples:\n{textwrap.indent(code, indent + '    ')}\n"
