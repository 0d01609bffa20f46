"""The creates that are under way in this server, by their request ids."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator


class UnderWay:
    """Lets a batch wait for creates that use one of its request ids: refused by what it could not see, it would have
    drawn a thousand ids in vain.
    """

    def __init__(self) -> None:
        self._ends: dict[str, asyncio.Future[None]] = {}

    @contextlib.contextmanager
    def using(self, request_ids: Collection[str]) -> Iterator[None]:
        """Notes that the block creates with those request ids."""
        end = asyncio.get_running_loop().create_future()
        mine = [request_id for request_id in request_ids if self._ends.setdefault(request_id, end) is end]
        try:
            yield
        finally:
            for request_id in mine:
                self._ends.pop(request_id, None)
            end.set_result(None)

    @contextlib.asynccontextmanager
    async def alone(self, request_ids: Collection[str]) -> AsyncIterator[None]:
        """Does the same once nobody else uses any of them."""
        while others := {self._ends[request_id] for request_id in request_ids if request_id in self._ends}:
            await asyncio.wait(others)
        with self.using(request_ids):
            yield
