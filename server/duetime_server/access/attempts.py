"""Attempts with unknown API keys: an address may have a few of them looked up each second.

A flood of them would otherwise keep the database busy. The callers of this machine are not limited, because they share
an address: one user would lock out all others. They wait for the one statement at a time that looks up many keys.
"""

from duetime_core.model import errors
from duetime_server.access import buckets, peers

PER_SECOND = 10
BURST = 100
_HERE = {peers.UNIX, *peers.LOOPBACK.values()}


class Attempts:
    """Counts the attempts of each address, and of each IPv6 network."""

    def __init__(self) -> None:
        self._buckets = buckets.Buckets(PER_SECOND, BURST)

    def begin(self, address: str) -> None:
        """Counts an attempt. Raises CallRateExceeded, which says nothing about the key: it may be valid."""
        counted = _counted(address)
        wait_seconds = self._buckets.take(counted, 1) if counted else 0
        if wait_seconds:
            raise errors.CallRateExceeded(
                "Too many unknown API keys came from this address. Nothing was changed; retry later.",
                retry_seconds=wait_seconds,
            )

    def withdraw(self, address: str) -> None:
        """Does not count one that began: its key is known, or could not be looked up."""
        if counted := _counted(address):
            self._buckets.charge(counted, -1)


def _counted(address: str) -> str | None:
    counted = peers.counted(address)
    return None if counted in _HERE else counted
