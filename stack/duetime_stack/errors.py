"""Why a stack cannot start."""


class StackError(Exception):
    """The stack cannot start, or cannot go on. The message says why, and what would help."""
