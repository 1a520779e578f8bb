"""What a command prints."""

from rich.console import Console

console = Console()
errors = Console(stderr=True)


def print_line(text: object) -> None:
    """Print a line as it is: a path may hold brackets, and is copied in one piece."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)


def print_problem(label: str, style: str, text: object) -> None:
    """Print an error or a warning on standard error."""
    errors.print(label, style=style, end=" ")
    errors.print(str(text), markup=False, highlight=False, soft_wrap=True)
