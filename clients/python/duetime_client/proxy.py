"""The HTTP proxy from the environment that gRPC connects through."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse

from duetime_client import address

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")


def is_used(target: str) -> bool:
    """Whether gRPC connects to the target through a proxy."""
    return (variable := _variable(target)) is not None and _host_port(os.environ[variable]) is not None


def described(target: str) -> str:
    """Returns what follows "cannot be reached" in a message: the proxy, without its password, or why it is ignored."""
    if (variable := _variable(target)) is None:
        return ""
    host_port = _host_port(os.environ[variable])
    if host_port is None:
        return f" ({variable} is ignored: a proxy must be http://host:port)"
    return f" through the proxy {host_port} ({variable})"


def _variable(target: str) -> str | None:
    """Returns the name of the environment variable with the proxy for the target."""
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    return None if variable is None or address.is_local(target) or _is_excepted(target) else variable


def _host_port(url: str) -> str | None:
    """Returns the proxy's host and port; None if gRPC cannot use it."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return f"{parts.hostname}{port}" if parts.scheme == "http" and parts.hostname else None


def _is_excepted(target: str) -> bool:
    """Whether no_proxy matches every host of the target. gRPC itself does not support `*`."""
    exceptions = next((value for name in _EXCEPTIONS if (value := os.environ.get(name))), "")
    entries = [entry for each in exceptions.split(",") if (entry := each.strip().lower())]
    return all(any(_matches(entry, host.lower()) for entry in entries) for host in address.hosts(target))


def _matches(entry: str, host: str) -> bool:
    if entry == "*" or host.endswith(entry.removeprefix("*")):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
