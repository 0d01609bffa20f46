"""The server's settings."""

import ipaddress
from typing import Annotated, Literal

import pydantic
import pydantic_settings

from duetime_core.process import settings
from duetime_server import listening
from duetime_server.access import issuers, peers, quotas


def _parse_networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return [ipaddress.ip_network(entry) for entry in settings.entries(value)]
    except ValueError as error:
        raise ValueError(f"must be IP addresses or networks, separated by commas: {error}") from None


def _read_issuers(path: object) -> object:
    return issuers.read(path) if isinstance(path, str) and path else path or None


class Settings(settings.Settings):
    """The settings of a server, besides those of every process."""

    listen: Annotated[str, pydantic.AfterValidator(listening.check)] = "127.0.0.1:50051"
    """Where gRPC is served: `host:port` or `unix:/path`. It is not encrypted: keep it on this machine."""
    edges: Annotated[list[peers.Network], pydantic_settings.NoDecode, pydantic.BeforeValidator(_parse_networks)] = []
    """The addresses from which only edges connect, whose word for their callers' addresses is taken. That of every
    connection by a unix socket is taken without it."""
    auth: Literal["keys", "open"] = "keys"
    """Whether callers need an API key. If not, anyone who reaches the server may do everything."""
    jwt_file: Annotated[issuers.Issuers | None, pydantic_settings.NoDecode, pydantic.BeforeValidator(_read_issuers)] = (
        None
    )
    """A file of issuers, as read when this is made. With it, callers may have access tokens instead of API keys."""
    call_rate: Annotated[int, pydantic.Field(ge=0)] = 0
    """How many calls a second each principal may make; 0 is no limit."""
    max_calls: Annotated[int, pydantic.Field(ge=1)] = quotas.MAX_CALLS
    """How many calls each principal may have in progress."""
    max_watches: Annotated[int, pydantic.Field(ge=1)] = quotas.MAX_WATCHES
    """How many watches each principal may have open."""
