"""The one exception that the package raises for bad input."""


class MultisigmaError(Exception):
    """Bad input, said for people: the file, parameter or task, the rule, the value found, and what to do.

    The command line prints the message without a traceback and ends with status 2.
    """
