"""Text of others, made safe to print: a terminal obeys control characters, and hides or turns around others."""

_MAX_QUOTED = 60


def printable(text: str) -> str:
    """Returns the text with all characters spelled out that are not seen as themselves: controls, directions, line
    separators, lone surrogates. Newlines stay.
    """
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Returns the printable text with its newlines spelled out too."""
    return printable(text).replace("\n", "\\n")


def quoted(text: str) -> str:
    """Returns what was given, shortened, in quotes, for an error message."""
    shown = one_line(text)
    return repr(text) if len(shown) <= _MAX_QUOTED else f"'{shown[:_MAX_QUOTED]}…'"
