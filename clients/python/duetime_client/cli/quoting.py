"""Makes untrusted text safe to print: a terminal executes control characters, and hides or reverses others."""

_MAX_QUOTED = 60


def printable(text: str) -> str:
    """Returns the text with all characters escaped that do not print as themselves: control characters, text
    directions, line separators, lone surrogates. Newlines stay.
    """
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Returns the printable text with its newlines escaped too."""
    return printable(text).replace("\n", "\\n")


def quoted(text: str) -> str:
    """Returns the given text for an error message: shortened, in quotes."""
    shown = one_line(text)
    return repr(text) if len(shown) <= _MAX_QUOTED else f"'{shown[:_MAX_QUOTED]}…'"
