"""The creator batches CreateTask calls, so that they share commits."""

import asyncio
import dataclasses
from collections.abc import Iterable, Sequence

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace, task
from duetime_core.process import crash
from duetime_core.redis import doorbell
from duetime_core.store.tasks import create as task_create
from duetime_server import access
from duetime_server.rpc import turns
from duetime_server.tasks import in_flight

MAX_BATCH = 500
MAX_BATCH_BYTES = 1_000_000
"""Of the requests in a batch: writing that much JSON blocks the loop for some milliseconds."""
_MAX_TURNS = 8
"""Turns of the event loop for which a batch waits for more creates. If each turn brings one, the first must not wait
for all."""

MAX_WAITING = 10_000
"""Creates that may wait while a commit stalls: bounds their memory and how late the last of them are."""
MAX_WAITING_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class _Waiting(turns.Waiting):
    new: task.NewTask
    caller: task_create.Caller

    @property
    def request_id(self) -> in_flight.RequestId | None:
        """The one that it uses, if any."""
        return None if self.new.request_id is None else (self.caller.namespace_id, self.new.request_id)


class Creator:
    """Creates tasks in batches: while one is in flight, the next one gathers. Principals take turns in each."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell) -> None:
        self._engine = engine
        self._bell = bell
        self._waiting: turns.Turns[_Waiting] = turns.Turns()
        self._added = asyncio.Event()
        self._in_flight = in_flight.InFlight()

    async def create(self, new: task.NewTask, *, size: int = 0) -> task_create.Created:
        """Creates one task, from a request of `size` bytes, and returns it once it is committed.

        If the caller hangs up before its batch begins, no task is created. Raises RequestIdTaken, ServerBusy or
        StoreUnavailable.
        """
        owner = turns.owner.get()
        if not self._waiting.has_room(owner, size, max_count=MAX_WAITING, max_size=MAX_WAITING_BYTES):
            raise errors.ServerBusy("Too many creates are waiting for the database. Nothing was changed; retry later.")
        future: asyncio.Future[task_create.Created] = asyncio.get_running_loop().create_future()
        caller = task_create.Caller(namespace.current(), access.actor())
        waiting = _Waiting(owner=owner, size=size, turn=future, new=new, caller=caller)
        self._waiting.add(waiting)
        self._added.set()
        try:
            return await future
        finally:
            self._waiting.remove(waiting)  # if the caller hung up, or reached its deadline

    async def create_all(self, news: list[task.NewTask]) -> list[task_create.Created]:
        """Creates all those tasks or none. Raises RequestIdTaken or StoreUnavailable."""
        used = {(namespace.current(), new.request_id) for new in news if new.request_id is not None}
        async with self._in_flight.track_alone(used):
            created = await task_create.create_all(self._engine, news, actor=access.actor())
        self._announce(created)
        return created

    async def run(self) -> None:
        """Creates the waiting tasks until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                await self._gather()
                if batch := self._next_batch():
                    await self._create(batch)

    async def _gather(self) -> None:
        """Returns after a turn of the loop without a new create: those that arrived share this commit."""
        gathered = 0
        for _ in range(_MAX_TURNS):
            if len(self._waiting) == gathered:
                return
            gathered = len(self._waiting)
            await asyncio.sleep(0)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        room = MAX_BATCH_BYTES
        while self._waiting and len(batch) < MAX_BATCH:
            if batch and self._waiting.first().size > room:
                break
            wanted = self._waiting.pop()
            room -= wanted.size
            if not wanted.turn.done():  # its caller hung up just before
                batch.append(wanted)
        return batch

    async def _create(self, batch: list[_Waiting]) -> None:
        try:
            with self._in_flight.track({each.request_id for each in batch if each.request_id is not None}):
                results = await self._create_for_callers(batch)
        except errors.DuetimeError as error:
            for wanted in batch:
                _resolve(wanted.turn, error)
        except Exception as error:
            # A task that cannot be written, although it was checked, must not fail the others.
            if len(batch) > 1:
                for each in batch:
                    await self._create([each])
            else:
                _resolve(batch[0].turn, error)
        else:
            self._announce(results)
            for wanted, result in zip(batch, results, strict=True):
                _resolve(wanted.turn, result)

    async def _create_for_callers(self, batch: list[_Waiting]) -> Sequence[task_create.Created | Exception]:
        news, callers = [wanted.new for wanted in batch], [wanted.caller for wanted in batch]
        if len(set(callers)) > 1:
            return await task_create.create(self._engine, news, actor=callers)
        # The statement for one caller costs less, and most batches have one.
        with namespace.use(callers[0].namespace_id):
            return await task_create.create(self._engine, news, actor=callers[0].actor)

    def _announce(self, results: Iterable[task_create.Created | Exception]) -> None:
        crash.point("server.committed")
        self._bell.announce([result for result in results if isinstance(result, task_create.Created) and result.is_new])


def _resolve(future: asyncio.Future[task_create.Created], result: task_create.Created | Exception) -> None:
    if future.done():  # the caller hung up
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
