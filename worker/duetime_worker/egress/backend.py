"""A network backend for httpcore that enforces the egress policy."""

import asyncio
import typing
from collections.abc import Iterable, Sequence

import httpcore
import structlog

from duetime_worker.egress import resolver
from duetime_worker.egress.address import Address
from duetime_worker.egress.policy import Policy, Refused

_ATTEMPT_SECONDS = 2.0
"""For each address but the last, so that one that drops packets does not use up the time for the others."""

_log = structlog.get_logger()


class Backend(httpcore.AsyncNetworkBackend):
    """Resolves a host once, checks all its addresses, and connects to one that was checked.

    httpcore pools connections by scheme, host and port, so each leads to the address that was checked when it was
    opened. It passes the host name to TLS.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._connections = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[typing.Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects; raises Refused, before any packet to the host, if the policy refuses one of its addresses."""
        try:
            async with asyncio.timeout(timeout):
                try:
                    addresses = await resolver.resolve(host, port)
                except OSError as error:
                    raise httpcore.ConnectError(str(error)) from error
                self._check(host, port, addresses)
                return await self._connect(addresses, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"no connection within {timeout:g} s") from error

    def _check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        try:
            self._policy.check(host, port, addresses)
        except Refused as refused:
            # Only the log has the addresses: the task's error must not reveal them to callers.
            _log.warning("destination refused", problem=str(refused), addresses=",".join(map(str, addresses)))
            raise

    async def _connect(
        self,
        addresses: Sequence[Address],
        port: int,
        local_address: str | None,
        socket_options: Iterable[typing.Any] | None,
    ) -> httpcore.AsyncNetworkStream:
        *first, last = dict.fromkeys(map(str, addresses))
        for address in first:
            try:
                return await self._connections.connect_tcp(
                    address, port, _ATTEMPT_SECONDS, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connections.connect_tcp(last, port, None, local_address, socket_options)
