"""The budget of a search: so many steps, the same on every machine."""

MOST_IN_A_ROW = 1_000
"""Times looked at in vain, and blackouts passed, from one occurrence to the next: some years of a daily rule."""
MOST = 5_000
"""The same of one search for many occurrences. These take a few tenths of a second at most."""


class TooManyStepsError(ValueError):
    """A search was given up: the rule and its blackouts leave too little."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the search for occurrences ended after {most:,} steps without one")


class Steps:
    """What is left of a budget."""

    __slots__ = ("_in_a_row", "_left")

    def __init__(self) -> None:
        self._left = MOST
        self._in_a_row = 0

    def take(self) -> None:
        """Takes a step that found nothing; raises TooManyStepsError if there were too many."""
        self._left -= 1
        self._in_a_row += 1
        if self._in_a_row > MOST_IN_A_ROW:
            raise TooManyStepsError(MOST_IN_A_ROW)
        if self._left < 0:
            raise TooManyStepsError(MOST)

    def begin_row(self) -> None:
        """Counts those in a row anew, such as after an occurrence."""
        self._in_a_row = 0
