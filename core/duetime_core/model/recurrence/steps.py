"""The step limit of a search, which is the same on every machine."""

MOST_IN_A_ROW = 1_000
"""Rejected times and passed blackouts from one occurrence to the next: some years of a daily rule."""
MOST = 5_000
"""The same for one search for many occurrences. It takes a few tenths of a second at most."""


class TooManyStepsError(ValueError):
    """A search reached its step limit: the rule and its blackouts leave too few occurrences."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the search for occurrences ended after {most:,} steps without one")


class Steps:
    """The remaining steps of a search."""

    __slots__ = ("_in_a_row", "_left")

    def __init__(self) -> None:
        self._left = MOST
        self._in_a_row = 0

    def take(self) -> None:
        """Counts a step without a result. Raises TooManyStepsError at the limit."""
        self._left -= 1
        self._in_a_row += 1
        if self._in_a_row > MOST_IN_A_ROW:
            raise TooManyStepsError(MOST_IN_A_ROW)
        if self._left < 0:
            raise TooManyStepsError(MOST)

    def begin_row(self) -> None:
        """Resets the count of consecutive steps, such as after an occurrence."""
        self._in_a_row = 0
