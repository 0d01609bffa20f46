"""The budget of a search: so many steps, whatever the machine."""

MOST = 10_000
"""Times looked at in vain, and blackouts passed: decades of a daily rule, and some hundredths of a second."""


class TooManyStepsError(ValueError):
    """A search was given up: the rule and its blackouts take too many steps from one occurrence to the next."""

    def __init__(self) -> None:
        super().__init__(f"no occurrence was found in {MOST} steps")


class Steps:
    """What is left of a budget."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST

    def take(self) -> None:
        """Takes one step; raises TooManyStepsError if none is left."""
        self._left -= 1
        if self._left < 0:
            raise TooManyStepsError
