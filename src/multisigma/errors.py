"""The exceptions that the package raises for people."""


class MultisigmaError(Exception):
    """Bad input, said for people: the file, parameter or task, the rule, the value found, and what to do.

    The command line prints the message without a traceback and ends with the status.
    """

    status = 2


class Interrupted(MultisigmaError):
    """A job was asked to stop, and says where it goes on.

    Args:
        message: What was stopped, and how to go on.
        status: Exit status of the command line.
    """

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status


class DivergenceError(MultisigmaError):
    """A loss, or what is made of losses, is no longer finite."""
