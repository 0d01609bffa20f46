"""What `duetime up` was told, and whether it may be done. Little is imported here: root does no more than this."""

import dataclasses
import pathlib

from duetime_stack import allowlist, errors, ports


@dataclasses.dataclass(frozen=True)
class Options:
    """What `duetime up` was told."""

    host: str
    port: int
    hosts: str
    """Names that Envoy serves besides `host` and the loopback names, separated by commas."""
    origins: str
    """Origins of web pages that may call, separated by commas."""
    data_dir: pathlib.Path
    insecure_listen: bool
    """Whether other machines may reach it, although there is no authentication."""
    servers: int
    workers: int
    database_url: str | None
    """A PostgreSQL that already runs, instead of the embedded one."""
    redis_url: str | None
    """A Redis that already runs, instead of the embedded one."""
    handlers: str
    queues: str


@dataclasses.dataclass(frozen=True)
class Listening:
    """Where Envoy listens, and to whom."""

    address: str
    """An IP address."""
    port: int
    allowed: allowlist.Allowlist


def listening(options: Options) -> Listening:
    """Returns where to listen. Raises StackError if the options name no address, or one that is not allowed."""
    address = ports.resolve(options.host)
    allowed = allowlist.parse((options.host, address), options.hosts, options.origins)
    if not ports.is_loopback(address) and not options.insecure_listen:
        raise errors.StackError(
            f"other machines may reach {address} (--host or DUETIME_HOST), and there is no authentication and no "
            "encryption yet: keep to 127.0.0.1, or accept that anyone who reaches it can do everything, with "
            "--insecure-listen or DUETIME_INSECURE_LISTEN=1"
        )
    return Listening(address, options.port, allowed)
