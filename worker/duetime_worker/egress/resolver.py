"""Resolves host names."""

import asyncio
import concurrent.futures
import ipaddress
import socket
import threading

from duetime_worker.egress.address import Address
from duetime_worker.egress.rule import host_name, is_localhost

_MAX_LOOKUPS = 256
_lookups = threading.BoundedSemaphore(_MAX_LOOKUPS)


async def resolve(host: str, port: int) -> list[Address]:
    """Returns the addresses of a host from this machine's resolver; raises OSError if there are none.

    Each lookup has its own daemon thread, because it cannot be ended before the resolver times out. In the loop's
    executor, name servers that never answer would block database connections and the worker's exit.
    """
    if is_localhost(host_name(host)):
        host = "localhost"
    if not _lookups.acquire(blocking=False):
        raise OSError(f"too many DNS lookups at once: {_MAX_LOOKUPS} are in progress")
    found: concurrent.futures.Future[list[Address]] = concurrent.futures.Future()
    try:
        threading.Thread(target=_lookup, args=(host, port, found), name="lookup", daemon=True).start()
    except RuntimeError as error:  # the machine allows no more threads
        _lookups.release()
        raise OSError("could not start a thread for the DNS lookup") from error
    return await asyncio.wrap_future(found)


def _lookup(host: str, port: int, found: concurrent.futures.Future[list[Address]]) -> None:
    try:
        if found.set_running_or_notify_cancel():
            # As bytes: Python's idna codec would reject long labels with a UnicodeError.
            answers = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
            found.set_result([ipaddress.ip_address(address[0]) for *_, address in answers])
    except Exception as error:  # re-raised in the waiting caller
        found.set_exception(error)
    finally:
        _lookups.release()
