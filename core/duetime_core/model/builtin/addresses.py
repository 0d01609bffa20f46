"""Email addresses, as settings and task_data name them.

Only the grammar of RFC 5321 (4.1.2), with RFC 6531's characters beyond ASCII, decides what an address is: which hosts
there are, and which of their users, the operator's mail server knows.
"""

import dataclasses
import ipaddress
import re

import idna

from duetime_core.model import quoting

MAX_CHARACTERS = 1000
"""Of an address with its name."""
_MAX_LOCAL_BYTES = 64  # RFC 5321, 4.5.3.1.1
_MAX_DOMAIN_BYTES = 255  # 4.5.3.1.2

_NAMED = re.compile(r"(?P<name>.*?)\s*<(?P<address>[^<>]*)>", re.DOTALL)
_QUOTED_NAME = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"')
_LOCAL = re.compile(
    r"""  [a-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+ (?: \. [a-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+ )*
        | " (?: [^"\\] | \\[\x20-\x7e] )* "  """,
    re.IGNORECASE | re.VERBOSE,
)
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)
_LITERAL = re.compile(r"\[(?P<version>IPv6:)?(?P<address>[0-9a-f:.]+)\]", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A mailbox. The domain is ASCII; the local part is written as SMTP has it, in quotes where it needs them."""

    name: str
    local_part: str
    domain: str

    @property
    def spec(self) -> str:
        """What stands between angle brackets: `ada@example.com`."""
        return f"{self.local_part}@{self.domain}"


def parse(text: object) -> Address:
    """Returns the address that `text` is: `ada@example.com`, or with a name `Ada Lovelace <ada@example.com>`.

    The name may be in quotes, as mails have it, or stand as it is. Raises ValueError, saying what is wrong.
    """
    if isinstance(text, Address):
        return text
    if not isinstance(text, str):
        raise ValueError("must be an email address, as text")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"must be at most {MAX_CHARACTERS} characters long; it has {len(text)}")
    if not text.strip():
        raise ValueError("must be an email address; it is empty")
    if quoting.CONTROL.search(text) or _is_no_unicode(text):
        raise ValueError("must not contain line breaks or other control characters")
    named = _NAMED.fullmatch(text.strip())
    name, address = ("", text) if named is None else (_name(named["name"], text), named["address"])
    return Address(name, *_parts(address.strip(), text))


def parse_sender(text: str) -> Address:
    """Returns the address that the operator gave. Raises ValueError."""
    try:
        address = parse(text)
        if not address.spec.isascii():
            raise ValueError("may hold characters beyond ASCII in its name alone")
    except ValueError as error:
        raise ValueError(f"must be an email address, such as Duetime <duetime@example.com>: it {error}") from None
    return address


def _name(text: str, whole: str) -> str:
    quoted = _QUOTED_NAME.fullmatch(text)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted["text"])
    if "@" in text and ("," in text or ";" in text or "<" in text):
        raise _several(whole)
    return text


def _parts(address: str, whole: str) -> tuple[str, str]:
    local_part, at, domain = address.rpartition("@")
    if not at:
        raise ValueError(f"must be an email address such as ada@example.com; {_shown(whole)} has no @")
    if not _LOCAL.fullmatch(local_part):
        if "@" in local_part and re.search(r"[,;\s]", local_part):
            raise _several(whole)
        raise ValueError(f"has a wrong part before the @: {_shown(whole)}")
    if len(local_part.encode()) > _MAX_LOCAL_BYTES:
        raise ValueError(f"must have at most {_MAX_LOCAL_BYTES} bytes before the @: {_shown(whole)}")
    return local_part, _domain(domain, whole)


def _domain(text: str, whole: str) -> str:
    if len(text.encode()) > _MAX_DOMAIN_BYTES:
        raise ValueError(f"must have at most {_MAX_DOMAIN_BYTES} bytes after the @: {_shown(whole)}")
    domain = text
    if not text.isascii():
        try:
            domain = idna.encode(text, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            domain = ""
    literal = _LITERAL.fullmatch(domain)
    if literal is None:
        is_right = _DOMAIN.fullmatch(domain) is not None
    else:
        kind = ipaddress.IPv6Address if literal["version"] else ipaddress.IPv4Address
        try:
            kind(literal["address"])
            is_right = True
        except ValueError:
            is_right = False
    if not is_right or len(domain) > _MAX_DOMAIN_BYTES:
        raise ValueError(f"has a wrong domain after the @: {_shown(whole)}")
    return domain


def _several(whole: str) -> ValueError:
    return ValueError(f'must be one address, or a list: ["a@example.com", "b@example.com"]; given is {_shown(whole)}')


def _shown(whole: str) -> str:
    return repr(quoting.shortened(whole))


def _is_no_unicode(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
