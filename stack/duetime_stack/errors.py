"""Why a stack cannot start."""


class StackError(Exception):
    """The stack cannot start or continue. The message gives the reason and a remedy."""
