"""Encodes and folds mail headers so that every reader decodes them to the given values.

Python's own folding is not used: in several releases it encodes the comma between two addresses into an encoded word
(CVE-2025-1795), which turns two recipients into one.
"""

import base64
import re
from collections.abc import Iterable

from duetime_core.model.builtin.addresses import Address

_NEWLINE = "\r\n "
_MAX_LINE = 76
"""Characters of a line: RFC 2047 (2) allows 76 in a line with an encoded word, RFC 5322 (2.1.1) recommends 78."""
_HARD_MAX_LINE = 990
_WORD_BYTES = 45
"""The content of an encoded word: 72 characters in base64 with its delimiters, of the 75 allowed."""
_PLAIN = re.compile(r"[\x20-\x7e]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_QUOTED_NAME = 60


def addresses(field: str, given: Iterable[Address]) -> str:
    """Returns the value of an address header, one address per line."""
    lines = []
    room = _MAX_LINE - len(field) - 2
    for address in given:
        lines.append(_mailbox(address, room))
        room = _MAX_LINE - 1
    return f",{_NEWLINE}".join(lines)


def text(field: str, given: str) -> str:
    """Returns the value of a text header: folded at spaces, or as encoded words if necessary."""
    if _PLAIN.fullmatch(given) and "=?" not in given and given == given.strip():
        lines = _folded(given, _MAX_LINE - len(field) - 2)
        if all(len(line) < _HARD_MAX_LINE for line in lines):
            return _NEWLINE.join(lines)
    return _NEWLINE.join(_encoded(given, _MAX_LINE - len(field) - 2))


def tokens(field: str, given: str) -> str:
    """Returns the value of a structured ASCII header, which may not contain encoded words."""
    return _NEWLINE.join(_folded(given.strip(), _MAX_LINE - len(field) - 2))


def _mailbox(address: Address, room: int) -> str:
    if not address.name:
        return address.spec
    words = _phrase(address.name, room)
    spec = f"<{address.spec}>"
    # The address and the comma after it go on the line of the name's last word if they fit.
    fits = len(f"{words[-1]} {spec},") <= (room if len(words) == 1 else _MAX_LINE - 1)
    separator = " " if fits else _NEWLINE
    return f"{_NEWLINE.join(words)}{separator}{spec}"


def _phrase(name: str, room: int) -> list[str]:
    if _PLAIN.fullmatch(name) and "=?" not in name and len(name) <= _MAX_QUOTED_NAME:
        if _ATOMS.fullmatch(name):
            return [name]
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return [f'"{escaped}"']
    return _encoded(name, room)


def _encoded(given: str, room: int) -> list[str]:
    """Returns encoded words (RFC 2047), split between characters. `room` is the space left on the first line.

    They end after a space where possible, because some readers, Python's among them, wrongly add one between two words.
    """
    words, rest = [], given
    size = min(_WORD_BYTES, (room - 12) // 4 * 3)
    while len(rest.encode()) > size:
        # A character that is cut in the middle goes into the next word.
        head = rest.encode()[:size].decode(errors="ignore")
        head = head[: head.rfind(" ") + 1] or head
        words.append(_word(head))
        rest, size = rest[len(head) :], _WORD_BYTES
    return [*words, _word(rest)]


def _word(content: str) -> str:
    return f"=?utf-8?b?{base64.b64encode(content.encode()).decode()}?="


def _folded(given: str, room: int) -> list[str]:
    """Splits text at single spaces, which folding preserves; a word that is too long gets its own line."""
    lines, current = [], ""
    for word in re.split(r"(?<=\S) (?=\S)", given):
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current, room = word, _MAX_LINE - 1
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]
