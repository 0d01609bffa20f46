"""Finding the addresses of a host."""

import asyncio
import concurrent.futures
import ipaddress
import socket
import threading

from duetime_worker.egress.address import Address
from duetime_worker.egress.rule import host_name, is_localhost

_MAX_LOOKUPS = 256
_concurrency = threading.BoundedSemaphore(_MAX_LOOKUPS)


async def resolve(host: str, port: int) -> list[Address]:
    """Returns the addresses of a host, as this machine's resolver finds them; raises OSError if it finds none.

    Each lookup has a thread of its own, and nothing can end it before the resolver gives up. A host whose name
    servers never answer would hold up the loop's threads, which connections to the database need, and the worker's end.
    """
    if is_localhost(host_name(host)):
        host = "localhost"
    if not _concurrency.acquire(blocking=False):
        raise OSError(f"{_MAX_LOOKUPS} other names are being looked up")
    found: concurrent.futures.Future[list[Address]] = concurrent.futures.Future()
    try:
        threading.Thread(target=_look, args=(host, port, found), name="lookup", daemon=True).start()
    except RuntimeError as error:  # the machine allows no more threads
        _concurrency.release()
        raise OSError("no thread could be started to look up its name") from error
    return await asyncio.wrap_future(found)


def _look(host: str, port: int, found: concurrent.futures.Future[list[Address]]) -> None:
    try:
        if found.set_running_or_notify_cancel():
            # As bytes, or Python's codec of names would refuse long labels with an error of its own.
            answers = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
            found.set_result([ipaddress.ip_address(address[0]) for *_, address in answers])
    except Exception as error:  # the caller that waits gets it
        found.set_exception(error)
    finally:
        _concurrency.release()
