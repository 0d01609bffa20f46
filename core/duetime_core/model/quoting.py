"""Quoting untrusted text in errors and logs: shortened, and with control characters escaped."""

import re

MOST_CHARACTERS = 100
"""How much of one value an error quotes."""
_MOST_BYTES = 600
"""The longest error message, which quotes one value and says what would be valid."""
_TAIL_BYTES = 200

CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that names may not contain: Unicode's control characters (Cc), line and paragraph separators (Zl, Zp)."""
_UNPRINTABLE = re.compile(
    # Besides those: what changes the direction of text (Bidi_Control), lone surrogates, which no UTF-8 stream takes,
    # and marks and tags that show nothing.
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def escaped(text: str) -> str:
    r"""Returns text that a terminal shows as it is and that stays on its line: ESC becomes `\x1b`, LF `\n`."""
    # Nearly all text is printable, which is a fast check.
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def shortened(text: str) -> str:
    """Shortens a long text to MOST_CHARACTERS."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def sentence(text: str) -> str:
    """Returns an error message that is safe to send: escaped, and shortened in its middle if it is long."""
    return _without_middle(escaped(_without_middle(text)))  # escapes are longer than the characters


def _without_middle(text: str) -> str:
    written = text.encode(errors="surrogatepass")
    if len(written) <= _MOST_BYTES:
        return text
    head, tail = written[: _MOST_BYTES - _TAIL_BYTES], written[-_TAIL_BYTES:]
    return f"{head.decode(errors='ignore')}…{tail.decode(errors='ignore')}"


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
