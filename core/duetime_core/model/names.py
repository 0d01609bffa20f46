"""Names of handlers, and how people confuse them."""

import difflib
from collections.abc import Collection


def letters(name: str) -> str:
    """Returns what is left of a name without case, spaces and signs."""
    return "".join(filter(str.isalnum, name)).casefold()


def nearest(name: str, known: Collection[str]) -> str | None:
    """Returns the one of the known names that is probably meant, if there is one."""
    by_letters = {letters(each): each for each in sorted(known)}
    near = difflib.get_close_matches(letters(name), by_letters, n=1)
    return by_letters[near[0]] if near else None
