"""Names of handlers, and suggestions for misspelt ones."""

import difflib
from collections.abc import Collection


def letters(name: str) -> str:
    """Returns a name without case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name)).casefold()


def nearest(name: str, known: Collection[str]) -> str | None:
    """Returns the known name that is most similar, if one is similar enough."""
    by_letters = {letters(each): each for each in sorted(known)}
    near = difflib.get_close_matches(letters(name), by_letters, n=1)
    return by_letters[near[0]] if near else None
