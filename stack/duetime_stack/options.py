"""The options of `duetime up`, and their validation. Imports little: root runs this before it drops privileges."""

import dataclasses
import pathlib

from duetime_stack import allowlist, errors, ports


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `duetime up`."""

    host: str
    port: int
    hosts: str
    """Comma-separated host names that Envoy accepts besides `host` and the loopback names."""
    origins: str
    """Comma-separated origins of web pages that may call the API."""
    data_dir: pathlib.Path
    insecure_listen: bool
    """Whether `host` may be an address that other machines reach, although there is no authentication."""
    servers: int
    workers: int
    database_url: str | None
    """An external PostgreSQL, instead of the embedded one."""
    redis_url: str | None
    """An external Redis, instead of the embedded Valkey."""
    handlers: str
    queues: str


@dataclasses.dataclass(frozen=True)
class Listening:
    """Where Envoy listens, and which requests it accepts."""

    address: str
    """An IP address."""
    port: int
    allowed: allowlist.Allowlist


def listening(options: Options) -> Listening:
    """Returns where to listen. Raises StackError if the address is invalid or not allowed."""
    address = ports.resolve(options.host)
    allowed = allowlist.parse((options.host, address), options.hosts, options.origins)
    if not ports.is_loopback(address) and not options.insecure_listen:
        raise errors.StackError(
            f"other machines can reach {address} (--host or DUETIME_HOST), and Duetime has no authentication or "
            "encryption yet: use 127.0.0.1, or accept that anyone who reaches the port has full access, with "
            "--insecure-listen or DUETIME_INSECURE_LISTEN=1"
        )
    return Listening(address, options.port, allowed)
