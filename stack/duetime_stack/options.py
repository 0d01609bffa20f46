"""The options of `duetime up`, and their validation. Imports little: root runs this before it drops privileges."""

import dataclasses
import pathlib

from duetime_stack import allowlist, errors, ports, tls


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
    tls_cert: pathlib.Path | None
    """A PEM file with the certificate of the edge; without it, nothing is encrypted."""
    tls_key: pathlib.Path | None
    """A PEM file with its private key."""
    demands_keys: bool
    """Whether the servers demand an API key of every call."""
    insecure_listen: bool
    """Whether `host` may be an address that other machines reach without authentication or encryption."""
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
    certificate: tls.Certificate | None
    risk: str
    """What other machines could do; empty if nothing."""


def listening(options: Options) -> Listening:
    """Returns where to listen. Raises StackError if the address or the certificate is invalid or not allowed."""
    address = ports.resolve(options.host)
    allowed = allowlist.parse((options.host, address), options.hosts, options.origins)
    certificate = tls.certificate(options.tls_cert, options.tls_key)
    risk = "" if ports.is_loopback(address) else _risk(options)
    if risk and not options.insecure_listen:
        raise errors.StackError(
            f"other machines can reach {address} (--host or DUETIME_HOST), and {risk}: {_remedy(options)}, or use "
            "127.0.0.1, or accept that with --insecure-listen or DUETIME_INSECURE_LISTEN=1"
        )
    return Listening(address, options.port, allowed, certificate, risk)


def _risk(options: Options) -> str:
    if not options.demands_keys:
        return "anyone who reaches the port has full access"
    return "" if options.tls_cert else "anyone on the way can read API keys and payloads"


def _remedy(options: Options) -> str:
    keys = [] if options.demands_keys else ["DUETIME_AUTH=keys"]
    certificate = [] if options.tls_cert else ["--tls-cert", "--tls-key"]
    return "set " + " and ".join([*keys, *certificate])
