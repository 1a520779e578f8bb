"""Parsing with messages of one line, in place of the usage and the names of Python types."""

import re
from argparse import ArgumentError
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from multisigma.errors import MultisigmaError

_TYPES = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'dict'>": "a mapping such as '{name: value}'",
    "<class 'NoneType'>": "null",
    "PositiveInt": "a positive whole number",
    "NonNegativeInt": "a whole number, 0 or more",
}
_RESTRICTED = "PositiveInt|NonNegativeInt"


QUIET_HELP = "show warnings and errors alone"


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse the arguments of a command.

    Raises:
        MultisigmaError: They are at fault; the message names the option, the rule, and what was found.
        SystemExit: They ask for help, which is then shown.
    """
    parser.exit_on_error = False
    parser.formatter_class = _HelpFormatter
    parser.add_argument("--quiet", action="store_true", help=QUIET_HELP)
    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        message = _explain(parser, str(error))
        raise MultisigmaError(f"{message} See `{parser.prog} --help`.") from error


class _HelpFormatter(DefaultHelpFormatter):
    """Help that shows a type by its name, without Python's notation of a class."""

    def _expand_help(self, action: Any) -> str:
        return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", super()._expand_help(action))


def _explain(parser: ArgumentParser, message: str) -> str:
    """Say in one line what argparse or jsonargparse found wrong."""
    if match := re.fullmatch(r"argument (\S+): invalid choice: (.+) \(choose from (.+)\)", message):
        option, found, choices = match.groups()
        return f"Option {option} must be one of {choices.replace(chr(39), '')}. Found {found}."
    if match := re.fullmatch(r'Parser key "(.+)": (.+) not among choices \[(.+)\]', message):
        key, found, choices = match.groups()
        return f"Option {_option(key)} must be one of {choices.replace(chr(39), '')}. Found {found}."
    if match := re.fullmatch(r"argument (\S+): expected one argument", message):
        return f"Option {match[1]} must have a value."
    if match := re.fullmatch(r"the following arguments are required: (.+)", message):
        return " ".join(f"{_name(parser, key)} must be given." for key in match[1].split(", "))
    if match := re.fullmatch(r"unrecognized arguments: (.+)", message):
        return _unrecognized(parser, match[1])
    if match := re.fullmatch(r"Option '(.+)' is not accepted", message):
        fields = (option.removeprefix("--").replace("-", "_") for option in _options(parser))
        return f"A configuration has no field `{match[1]}`.{did_you_mean(match[1], fields)}"
    if match := re.match(r'Parser key "(.+?)":\s', message):
        return f"Option {_option(match[1])}{_rule(message[match.end() :])}"
    return message


def _rule(message: str) -> str:
    """Say what a value must be, from what jsonargparse says of its type."""
    found = re.search(r"(?:Got|Given) value: (.*)", message) or re.search(
        rf"Not of type (?:{_RESTRICTED}): (?:invalid literal .+: )?(?!int\(\))(\S+)", message
    )
    own = re.search(rf"Not of type (?!{_RESTRICTED})\w+: (.*)", message)
    types = re.findall(
        rf"(?:Expected a |Not of type )(typing\.Literal\[.+?\]|<class '.+?'>|List\[.+?\]|{_RESTRICTED})", message
    )
    if own:
        return f": {own[1]}."
    if not types:
        return f": {' '.join(message.split()).rstrip('.')}."
    words = [_words(type_) for type_ in dict.fromkeys(types)]
    value = found[1].strip("'") if found else "null"
    return f" must be {' or '.join(words)}. Found {value}."


def _words(type_: str) -> str:
    if type_.startswith("typing.Literal"):
        return "one of " + ", ".join(re.findall("'(.+?)'", type_))
    return _TYPES.get(type_, type_)


def _unrecognized(parser: ArgumentParser, arguments: str) -> str:
    option = next((word for word in arguments.split() if word.startswith("-")), None)
    if option is None:
        return f"The command takes no further argument. Found {arguments}."
    return f"There is no option {option}.{did_you_mean(option.split('=')[0], _options(parser))}"


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return a question that names what is closest to what was found; empty if nothing is close."""
    close = get_close_matches(found, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""


def _options(parser: ArgumentParser) -> list[str]:
    return re.findall(r"^ +(?:-\w, )?(--[\w.-]+)", parser.format_help(), re.MULTILINE)


def _name(parser: ArgumentParser, key: str) -> str:
    """Write a required argument as a user types it: an option by its name, another in capitals."""
    return f"Option {_option(key)}" if _option(key) in _options(parser) else f"The argument {key.upper()}"


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")
