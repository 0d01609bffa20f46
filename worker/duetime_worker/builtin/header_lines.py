"""Writing the headers of a mail: as lines that every reader takes for what was given.

Python's own folding is not used. In several of its releases it puts the comma between two addresses into an encoded
word (CVE-2025-1795), and then two recipients are one.
"""

import base64
import re
from collections.abc import Iterable

from duetime_core.model.builtin.addresses import Address

_NEWLINE = "\r\n "
_MOST = 76
"""Characters of a line: RFC 2047 (2) asks for that many where it has an encoded word, RFC 5322 (2.1.1) for 78."""
_MOST_OF_ANY_LINE = 990
_WORD_BYTES = 45
"""What an encoded word holds: in base64 and with what is around them 72 characters, of the 75 that it may have."""
_PLAIN = re.compile(r"[\x20-\x7e]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MOST_OF_A_QUOTED_NAME = 60


def addresses(field: str, given: Iterable[Address]) -> str:
    """Returns the value of a header of addresses: one on each line."""
    lines = []
    room = _MOST - len(field) - 2
    for address in given:
        lines.append(_mailbox(address, room))
        room = _MOST - 1
    return f",{_NEWLINE}".join(lines)


def text(field: str, given: str) -> str:
    """Returns the value of a header that is text: folded at spaces, or in encoded words if it needs them."""
    if _PLAIN.fullmatch(given) and "=?" not in given and given == given.strip():
        lines = _folded(given, _MOST - len(field) - 2)
        if all(len(line) < _MOST_OF_ANY_LINE for line in lines):
            return _NEWLINE.join(lines)
    return _NEWLINE.join(_encoded(given, _MOST - len(field) - 2))


def tokens(field: str, given: str) -> str:
    """Returns the value of a header whose ASCII has a grammar, in which no encoded word may stand."""
    return _NEWLINE.join(_folded(given.strip(), _MOST - len(field) - 2))


def _mailbox(address: Address, room: int) -> str:
    if not address.name:
        return address.spec
    words = _phrase(address.name, room)
    spec = f"<{address.spec}>"
    # An address, and the comma behind it, stand on the line of its name's last word if they fit.
    fits = len(f"{words[-1]} {spec},") <= (room if len(words) == 1 else _MOST - 1)
    separator = " " if fits else _NEWLINE
    return f"{_NEWLINE.join(words)}{separator}{spec}"


def _phrase(name: str, room: int) -> list[str]:
    if _PLAIN.fullmatch(name) and "=?" not in name and len(name) <= _MOST_OF_A_QUOTED_NAME:
        if _ATOMS.fullmatch(name):
            return [name]
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return [f'"{escaped}"']
    return _encoded(name, room)


def _encoded(given: str, room: int) -> list[str]:
    """Returns encoded words (RFC 2047), none of which ends within a character. `room` is left on the first line.

    They end behind a space if they can, because some readers, Python's among them, wrongly add one between two.
    """
    words, rest = [], given
    most = min(_WORD_BYTES, (room - 12) // 4 * 3)
    while len(rest.encode()) > most:
        # A sequence that is cut in its middle is left out.
        head = rest.encode()[:most].decode(errors="ignore")
        head = head[: head.rfind(" ") + 1] or head
        words.append(_word(head))
        rest, most = rest[len(head) :], _WORD_BYTES
    return [*words, _word(rest)]


def _word(content: str) -> str:
    return f"=?utf-8?b?{base64.b64encode(content.encode()).decode()}?="


def _folded(given: str, room: int) -> list[str]:
    """Splits text at single spaces, which the folding stands for; a word that is too long has a line of its own."""
    lines, current = [], ""
    for word in re.split(r"(?<=\S) (?=\S)", given):
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current, room = word, _MOST - 1
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]
