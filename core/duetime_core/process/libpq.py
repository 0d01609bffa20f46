"""What libpq connects with, from a URL of PostgreSQL's: also one with several hosts. No message quotes the URL."""

import difflib
import re
import urllib.parse
from collections.abc import Collection
from typing import Any

import psycopg
import psycopg.conninfo
import psycopg.pq
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.dialects.postgresql import psycopg as dialect

# As SQLAlchemy splits it: a password may have any character but @.
_SEVERAL = re.compile(
    r"(?P<start>[\w+]+://(?:[^:/]*(?::[^@]*)?@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<path>[^?]*)(?P<query>.*)", re.DOTALL
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?")

_CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)


def arguments(url: str) -> dict[str, Any]:
    """Returns the parameters of libpq in a URL.

    Raises ValueError: without a message if it is not a URL of PostgreSQL's, or with one that says what is wrong with
    its parameters and what would be right.
    """
    try:
        parsed = sqlalchemy.make_url(spread(url))
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ValueError from None
    if parsed.drivername.partition("+")[0] not in ("postgresql", "postgres") or "@" in (parsed.host or ""):
        raise ValueError
    _check_parameters(parsed)
    try:
        found: dict[str, Any] = dialect.dialect().create_connect_args(parsed)[1]  # type: ignore[no-untyped-call]
        psycopg.conninfo.make_conninfo(**found)
    except (sqlalchemy.exc.ArgumentError, psycopg.Error, ValueError):
        raise ValueError from None
    if parsed.port == 0 or not all(_is_port(port) for port in str(found.get("port", "")).split(",") if port):
        raise ValueError
    return dict(found)


def spread(url: str) -> str:
    """Returns the URL with libpq's list of hosts, `//h1:5432,h2:5432/db`, as the parameters that SQLAlchemy reads."""
    several = _SEVERAL.fullmatch(url)
    if several is None:
        return url
    hosts = [_HOST.fullmatch(each) for each in several["hosts"].split(",")]
    if not all(hosts):
        return url  # as it is, it is refused
    given = {
        "host": ",".join(each["host"].strip("[]") for each in hosts if each),
        "port": ",".join(each["port"] or "5432" for each in hosts if each),
    }
    query = f"{several['query']}&" if several["query"] else "?"
    return f"{several['start']}{several['path'] or '/'}{query}{urllib.parse.urlencode(given, safe=',:')}"


def _check_parameters(parsed: sqlalchemy.URL) -> None:
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    for name, values in parsed.normalized_query.items():
        if name not in known:
            raise ValueError(_unknown(name, known))
        if len(values) > 1 and name not in ("host", "port"):
            raise ValueError(f"has the parameter {name} {len(values)} times: give it once")
        if name in _CHOICES and values[0] not in _CHOICES[name]:
            raise ValueError(f"has an invalid {name}: it must be one of {', '.join(_CHOICES[name])}")
        if name in _NUMBERS and not (values[0].isascii() and values[0].isdecimal()):
            raise ValueError(f"has an invalid {name}: it must be a whole number, such as 5")


def _unknown(name: str, known: Collection[str]) -> str:
    # The name itself may be a part of a password that was not encoded.
    similar = difflib.get_close_matches(name, known, n=1)
    correction = f": did you mean {similar[0]}?" if similar else ", such as host, port, sslmode, passfile or options"
    return f"has a parameter after its ? that is not one of libpq's{correction}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535
