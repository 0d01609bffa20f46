"""Addresses and ports to listen on."""

import ipaddress
import socket

from duetime_stack import errors

LOOPBACK = "127.0.0.1"


def resolve(host: str) -> str:
    """Returns the IP address of a host name. Raises StackError if it does not resolve."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise errors.StackError(f"cannot resolve {host} (--host or DUETIME_HOST): {error.strerror}") from error


def is_loopback(address: str) -> bool:
    """Returns whether only this machine can reach the address."""
    return ipaddress.ip_address(address).is_loopback


def _is_reserved(address: str, port: int) -> bool:
    """Returns whether this user may not listen on the port, such as one below 1024."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except PermissionError:
            return True
        except OSError:
            return False
    return False


def is_free(address: str, port: int) -> bool:
    """Returns whether nothing listens on the port of an address of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Envoy does, so that connections of a process that has just exited do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError:
            return False
    return True


def require_free(address: str, port: int) -> None:
    """Raises StackError unless this user can listen on the address and port."""
    if _is_reserved(address, port):
        raise errors.StackError(
            f"no permission to listen on port {port}; choose a port from 1024 up with --port or DUETIME_PORT, or allow "
            "all users to listen on it with sysctl net.ipv4.ip_unprivileged_port_start"
        )
    if not is_free(address, port):
        raise errors.StackError(
            f"port {port} of {address} is in use; choose another with --port or DUETIME_PORT"
            if is_free(address, 0)
            else f"{address} is not an address of this machine; choose another with --host or DUETIME_HOST"
        )
