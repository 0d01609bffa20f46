"""The HTTP proxy that gRPC connects through, if the environment names one."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse

from duetime_client import address

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")


def named(target: str) -> str | None:
    """Returns `proxy.example:3128, by http_proxy`, if gRPC connects to the target through one; without its password."""
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    if variable is None or address.is_local(target) or _is_excepted(target):
        return None
    try:
        parts = urllib.parse.urlsplit(os.environ[variable])
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        host, port = "", ""
    return f"{host}{port}, by {variable}".lstrip(", ")


def _is_excepted(target: str) -> bool:
    """Whether no_proxy names each host of the target. gRPC itself does not know `*`."""
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
