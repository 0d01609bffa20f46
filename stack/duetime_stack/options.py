"""The options of `duetime up`, and their validation. Imports little: root runs this before it drops privileges."""

import dataclasses
import pathlib

from duetime_stack import allowlist, errors, ports, rates, tls

AUTH = "DUETIME_AUTH"
"""The servers' setting, of which `--open` is a value."""

_OPEN = (
    f"there is no authentication (--open or {AUTH}=open): every user and program of this machine may read and change "
    "everything"
)


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
    """Whether `host` may be an address that other machines reach without encryption."""
    insecure_open: bool
    """Whether `host` may be an address that other machines reach without authentication."""
    servers: int
    workers: int
    database_url: str | None
    """An external PostgreSQL, instead of the embedded one."""
    redis_url: str | None
    """An external Redis, instead of the embedded Valkey."""
    handlers: str
    queues: str
    limits: rates.Rates


@dataclasses.dataclass(frozen=True)
class Listening:
    """Where Envoy listens, and which requests it accepts, and how many."""

    address: str
    """An IP address."""
    port: int
    allowed: allowlist.Allowlist
    certificate: tls.Certificate | None
    limits: rates.Rates
    warning: str
    """Who has more access than keys and encryption would permit; empty if nobody."""


def demands_keys(*, is_open: bool, auth: str) -> bool:
    """Returns whether callers need API keys, by `--open` and DUETIME_AUTH. Raises StackError if these are invalid."""
    if auth not in ("", "keys", "open"):
        raise errors.StackError(f"{AUTH} must be keys or open, not {auth[:100]!r}")
    if is_open and auth == "keys":
        raise errors.StackError(
            f"--open and {AUTH}=keys contradict each other: leave out --open to demand API keys, or unset {AUTH}"
        )
    return not is_open and auth != "open"


def listening(options: Options) -> Listening:
    """Returns where to listen. Raises StackError if the address or the certificate is invalid or not allowed."""
    address = ports.resolve(options.host)
    allowed = allowlist.parse((options.host, address), options.hosts, options.origins)
    certificate = tls.certificate(options.tls_cert, options.tls_key)
    return Listening(address, options.port, allowed, certificate, options.limits, _warning(options, address))


def _warning(options: Options, address: str) -> str:
    if ports.is_loopback(address):
        return "" if options.demands_keys else _OPEN
    risk = _risk(options)
    # Two settings: a deployment behind a proxy that encrypts keeps the one, and must not be opened by --open alone.
    is_accepted = options.insecure_listen if options.demands_keys else options.insecure_open
    if risk and not is_accepted:
        raise errors.StackError(
            f"other machines can reach {address} (--host or DUETIME_HOST), and {risk}: {_remedy(options)}, or use "
            f"127.0.0.1, or accept that with {_acceptance(options)}"
        )
    return risk and f"other machines can reach {address}, and {risk}"


def _risk(options: Options) -> str:
    if not options.demands_keys:
        return "anyone who reaches the port has full access"
    return "" if options.tls_cert else "anyone on the way can read API keys and payloads"


def _remedy(options: Options) -> str:
    keys = [] if options.demands_keys else [f"leave out --open or {AUTH}=open"]
    certificate = [] if options.tls_cert or options.insecure_listen else ["set --tls-cert and --tls-key"]
    return ", and ".join([*keys, *certificate])


def _acceptance(options: Options) -> str:
    if options.demands_keys:
        return "--insecure-listen or DUETIME_INSECURE_LISTEN=1"
    distinction = (
        " (--insecure-listen permits calls without encryption, not without keys)" if options.insecure_listen else ""
    )
    return f"--insecure-open or DUETIME_INSECURE_OPEN=1{distinction}"
