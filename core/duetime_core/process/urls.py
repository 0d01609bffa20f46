"""URLs of PostgreSQL and Redis: validated and displayed without quoting possible secrets."""

import re
import urllib.parse
from typing import Any

import sqlalchemy

from duetime_core.process import libpq

_ENCODING = "in a user name or password, percent-encode each of : / ? # [ ] @ %"
POSTGRES_FORM = f"must be a URL such as postgresql://user:password@host:5432/duetime; {_ENCODING}"
REDIS_FORM = (
    f"must be a URL such as redis://:password@host:6379/0, rediss://… for TLS, or unix:///path?db=0; {_ENCODING}"
)
ONE_REDIS = (
    "must name one Redis: Sentinel and lists of hosts are not supported. Give the URL of one host, or of a proxy that "
    "leads to the primary, such as redis://:password@host:6379/0"
)
HIDDEN = "***"
"""Replaces what is not shown."""

# Anything else in a query may be a secret, as `password` and `sslpassword` are.
_SHOWN_KEYS = frozenset(
    {"host", "port", "db", "passfile", "sslmode", "sslrootcert", "ssl_cert_reqs", "ssl_ca_certs", "ssl_check_hostname"}
)
_SENTINEL = re.compile(r"(rediss?\+)?sentinel\b", re.IGNORECASE)
_DATABASE_NUMBER = re.compile(r"/?|/[0-9]{1,9}")


def postgres_arguments(url: str) -> dict[str, Any]:
    """Returns what libpq connects with. Raises ValueError, which says what would be right, for a URL it cannot use."""
    try:
        return libpq.arguments(url)
    except ValueError as error:
        raise ValueError(str(error) or POSTGRES_FORM) from None


def check_postgres(url: str) -> str:
    """Returns `url`, as SQLAlchemy reads it. Raises ValueError, as `postgres_arguments`, if it is not PostgreSQL's."""
    postgres_arguments(url)
    return libpq.spread(url)


def check_redis(url: str) -> str:
    """Returns `url`. Raises ValueError, with REDIS_FORM, if redis-py cannot use it, or would take it for another.

    Raises ValueError, with ONE_REDIS, if it names several.
    """
    import redis.asyncio  # here, because migrations use no Redis, and it takes long to import
    import redis.exceptions

    if _SENTINEL.match(url) or "," in _hosts(url):
        raise ValueError(ONE_REDIS)
    try:
        parsed = urllib.parse.urlsplit(url)
        port = parsed.port
        redis.asyncio.ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, AttributeError, redis.exceptions.RedisError):
        raise ValueError(REDIS_FORM) from None
    is_socket = parsed.scheme == "unix"
    # A / in a password ends the host there, and what follows becomes the port or the path.
    if (
        port == 0
        or parsed.fragment
        or (is_socket and not parsed.path.startswith("/"))
        or (not is_socket and (not _DATABASE_NUMBER.fullmatch(parsed.path) or "@" in parsed.query))
    ):
        raise ValueError(REDIS_FORM)
    return url


def redis_options(url: str) -> dict[str, Any]:
    """Returns what redis-py needs besides a validated URL: that TLS verifies the host name, unless the URL says other.

    By itself it accepts a certificate of any host.
    """
    split = urllib.parse.urlsplit(url)
    verifies = dict(urllib.parse.parse_qsl(split.query)).get("ssl_cert_reqs", "required") != "none"
    return {"ssl_check_hostname": True} if split.scheme == "rediss" and verifies else {}


def _hosts(url: str) -> str:
    """Returns the host and port, or several, of a URL, which may be invalid."""
    return re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")[2]


def has_secret(url: str) -> bool:
    """Returns whether a validated URL has a part that is not shown."""
    return HIDDEN in shown(url)


def shown(url: str) -> str:
    """Returns a validated URL for terminals and logs: possible secrets are HIDDEN."""
    if url.partition(":")[0].startswith("postgres"):
        # Unlike Redis's, a password of PostgreSQL's may have each of / ? # as it is: SQLAlchemy reads it.
        parsed = sqlalchemy.make_url(url)
        address, path = (parsed.host, parsed.port), f"/{parsed.database or ''}"
        login = (parsed.username, parsed.password)
        query = [(name, each) for name, values in parsed.normalized_query.items() for each in values]
    else:
        split = urllib.parse.urlsplit(url)
        address, path = (split.hostname, split.port), split.path
        # A user without a password means nothing to Redis: it may be a password that lacks its colon.
        login = ("", split.password or split.username)
        query = urllib.parse.parse_qsl(split.query)
    place = f"{url.partition(':')[0]}://{_login(*login)}{_address(*address)}{path}"
    shown_query = "&".join(f"{name}={_value(name, value)}" for name, value in query)
    return f"{place}?{shown_query}" if query else place


def _value(name: str, value: str) -> str:
    return urllib.parse.quote(value, safe="/:") if name in _SHOWN_KEYS else HIDDEN


def _login(user: str | None, password: str | None) -> str:
    if password:
        return f"{user or ''}:{HIDDEN}@"
    return f"{user}@" if user else ""


def _address(host: str | None, port: int | None) -> str:
    host = f"[{host}]" if ":" in (host or "") else host or ""
    return host if port is None else f"{host}:{port}"
