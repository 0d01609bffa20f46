"""Clients that create, update, cancel, delete, retry and watch tasks at random, from a seed."""

import asyncio
import contextlib
import datetime
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import duetime_client
from tests.chaos import handlers, history, watchers, world
from tests.chaos.history import Call, Kind, Outcome

MAX_RETRIES = 5
BACKOFF = duetime_client.RetryPolicy(
    initial_backoff=datetime.timedelta(seconds=0.1), max_backoff=datetime.timedelta(seconds=1)
)
HORIZON_SECONDS = 1.5
"""How far ahead tasks are due: most at once, some while faults are injected, none long after."""
_TIMEOUT = datetime.timedelta(seconds=8)
_EDITABLE = 30
"""Clients edit tasks that they created lately: those still pending are among them."""

_LEAST_CREATES = 150
"""How many tasks have to be created at least, so that a scenario shows something, and how long that may take."""
_LEAST_CREATES_SECONDS = 60
_MOVES = 0.5
"""How many of the updates move the task to a random queue and name."""

_tokens = itertools.count(1)


class Workload:
    """`clients` callers, each of which edits only its own tasks, one call at a time."""

    def __init__(
        self,
        target: str,
        *,
        seed: int,
        clients: int = 4,
        pause_seconds: float = 0.05,
        timeout: datetime.timedelta = _TIMEOUT,
        batches: int = 3,
    ) -> None:
        self.history = history.History()
        self.watchers = watchers.Watchers(target)
        self._target = target
        self._seed = seed
        self._clients = clients
        self._pause_seconds = pause_seconds
        self._timeout = timeout
        self.batches = batches
        """How many of about 90 calls create several tasks."""
        self._callers: list[_Caller] = []
        self._unknown: list[tuple[list[Call], tuple[duetime_client.NewTask, ...]]] = []

    @contextlib.asynccontextmanager
    async def running(self, *, filtered: bool = False) -> AsyncIterator[None]:
        """Makes calls during the block, and after it until there are enough, and waits for all responses.

        `filtered` opens watches with filters, too.
        """
        stop = asyncio.Event()
        await self.watchers.watch_all()
        if filtered:
            await self.watchers.watch_filtered()
        callers = [asyncio.create_task(self._call_on(number, stop)) for number in range(self._clients)]
        try:
            yield
            await self._have_created(_LEAST_CREATES)
        finally:
            stop.set()
            await asyncio.gather(*callers)

    async def _have_created(self, least: int) -> None:
        """Waits until so many creates have succeeded: on a slow machine, the block may be too short for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAST_CREATES_SECONDS):
                while self.history.created < least:  # noqa: ASYNC110 - no signal
                    await asyncio.sleep(self._pause_seconds)

    async def retry_unknown(self) -> None:
        """Retries every create that had no response, with its request_id, as its caller would after the faults."""
        async with duetime_client.AsyncClient(self._target, timeout=_TIMEOUT) as client:
            for calls, remaining in self._unknown:
                again = [self.again(call) for call in calls]
                _created(again, await history.settle(again, client.create_many(remaining)))

    async def create_for_later(self, count: int, *, seconds: float) -> list[int]:
        """Creates tasks that are due in so many seconds, on which nobody else makes calls."""
        async with duetime_client.AsyncClient(self._target, timeout=_TIMEOUT) as client:
            caller = _Caller(self, client, random.Random(self._seed))
            return await caller.create_some(count, ahead=seconds)

    async def cancel_impatiently(self, task_ids: list[int], *, times: int, patience: datetime.timedelta) -> None:
        """Cancels those tasks at the same time, each again and at most so often while there is no response."""
        async with duetime_client.AsyncClient(self._target, timeout=patience) as client:
            caller = _Caller(self, client, random.Random(self._seed))
            await asyncio.gather(*(caller.cancel_impatiently(task_id, times=times) for task_id in task_ids))

    def again(self, call: Call) -> Call:
        """Records that a create is repeated."""
        return self.history.begin(
            Kind.CREATE, origin=call.origin, request_id=call.request_id, token=call.token, due_at=call.due_at
        )

    async def _call_on(self, number: int, stop: asyncio.Event) -> None:
        async with duetime_client.AsyncClient(self._target, timeout=self._timeout) as client:
            caller = _Caller(self, client, random.Random(f"{self._seed}/{number}"))
            self._callers.append(caller)
            while not stop.is_set():
                await caller.call()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), caller.choose.expovariate(1 / self._pause_seconds))

    def forget_tasks(self) -> None:
        """Makes no more calls on the present tasks: a failover may lose them, and give their ids to others."""
        for caller in self._callers:
            caller.forget_tasks()

    def note_unknown(self, calls: list[Call], remaining: tuple[duetime_client.NewTask, ...]) -> None:
        """Keeps unanswered creates, to retry them."""
        self._unknown.append((calls, remaining))


class _Caller:
    def __init__(self, workload: Workload, client: duetime_client.AsyncClient, choose: random.Random) -> None:
        self._workload = workload
        self._client = client
        self.choose = choose
        self._mine: dict[int, dict[str, Any]] = {}  # task_id → its task_data, of those that may be edited

    def forget_tasks(self) -> None:
        """Makes no more calls on the present tasks."""
        self._mine = {}

    async def call(self) -> None:
        """Makes one call."""
        verbs = {self._create: 50, self._update: 20, self._cancel: 8, self._delete: 5, self._retry: 4}
        verbs[self._batch] = self._workload.batches
        (verb,) = self.choose.choices(list(verbs), list(verbs.values()))
        await verb()

    async def _create(self) -> None:
        await self.create_some(1)

    async def _batch(self) -> None:
        await self.create_some(self.choose.randint(2, 30))

    async def create_some(self, count: int, *, ahead: float | None = None) -> list[int]:
        """Creates tasks, due now or soon, or `ahead` seconds from now; returns their ids if there was a response."""
        news = [self._new(ahead) for _ in range(count)]
        batch = f"batch-{next(_tokens)}" if count > 1 else ""
        calls = [
            self._workload.history.begin(
                Kind.CREATE,
                origin=str(new.request_id),
                request_id=str(new.request_id),
                batch=batch,
                token=data["token"],
                due_at=new.execution_time.timestamp(),
            )
            for new, data in news
            if isinstance(new.execution_time, datetime.datetime)
        ]
        created = await history.settle(calls, self._ask(news))
        if calls[0].outcome is Outcome.UNKNOWN and self.choose.random() < 0.5:
            # As an impatient caller does: the first request may still be in progress.
            calls = [self._workload.again(call) for call in calls]
            created = await history.settle(calls, self._ask(news))
        if calls[0].outcome is Outcome.UNKNOWN:
            self._workload.note_unknown(calls, tuple(new for new, _ in news))
        _created(calls, created)
        for task_id, (_, data) in zip(created or (), news, strict=False):
            self._mine[task_id] = data
            if len(self._mine) > _EDITABLE:
                del self._mine[next(iter(self._mine))]
            if self.choose.random() < 0.1:
                self._workload.watchers.watch(task_id)
        return created or []

    async def _ask(self, news: list[tuple[duetime_client.NewTask, dict[str, Any]]]) -> list[int]:
        if len(news) > 1:
            return await self._client.create_many(new for new, _ in news)
        new = news[0][0]  # on the path where creates share commits
        return [
            await self._client.create(
                new.name,
                new.execution_time,
                new.task_data,
                queue=new.queue,
                max_retries=new.max_retries,
                retry_policy=new.retry_policy,
                request_id=new.request_id,
            )
        ]

    def _new(self, ahead: float | None) -> tuple[duetime_client.NewTask, dict[str, Any]]:
        data: dict[str, Any] = {
            "token": next(_tokens),
            "seconds": self.choose.choices([0, 0.05, 0.5, 2], [60, 20, 15, 5])[0],
            "fails": self.choose.choices([0, 1, 2], [85, 10, 5])[0],
        }
        # Its request_id identifies the task to the system, and its origin to the checker.
        request_id = f"request-{data['token']}"
        data["origin"] = request_id
        new = duetime_client.NewTask(
            "chaos",
            self._moment(ahead),
            data,
            queue=self.choose.choice(world.QUEUES),
            max_retries=self.choose.choices([MAX_RETRIES, 1, 0], [90, 5, 5])[0],
            retry_policy=BACKOFF,
            request_id=request_id,
        )
        return new, data

    async def _update(self) -> None:
        if (task_id := self._any()) is None:
            return
        data = {**self._mine[task_id], "token": next(_tokens)}
        moment = self._moment()
        kept: dict[str, Any] = {"execution_time": moment, "task_data": data}
        call = self._workload.history.begin(Kind.UPDATE, task_id, token=data["token"], due_at=moment.timestamp())
        if self.choose.random() < _MOVES:
            call.queue, call.name = self.choose.choice(world.QUEUES), self.choose.choice(handlers.NAMES)
            await self._edit(call, self._client.update(task_id, **kept, queue=call.queue, name=call.name))
        else:
            await self._edit(call, self._client.update(task_id, **kept))

    async def _cancel(self) -> None:
        if (task_id := self._any()) is not None:
            await self.cancel_impatiently(task_id, times=self.choose.choice([1, 2]))

    async def cancel_impatiently(self, task_id: int, *, times: int) -> None:
        """Cancels a task, again and at most so often while there is no response."""
        mine = self._mine
        for _ in range(times):
            call = self._workload.history.begin(Kind.CANCEL, task_id)
            await self._edit(call, self._client.cancel(task_id))
            if call.outcome is not Outcome.UNKNOWN or self._mine is not mine:
                return  # after a failover, another task may have the id

    async def _retry(self) -> None:
        if (task_id := self._any()) is not None:
            await self._edit(self._workload.history.begin(Kind.RETRY, task_id), self._client.retry(task_id))

    async def _delete(self) -> None:
        if (task_id := self._any()) is not None:
            call = self._workload.history.begin(Kind.DELETE, task_id)
            await self._edit(call, self._client.delete(task_id))
            if call.outcome is Outcome.OK:
                self._mine.pop(task_id, None)

    async def _edit(self, call: Call, answer: Any) -> None:
        await history.settle([call], answer)
        if call.outcome is Outcome.UNKNOWN and call.task_id is not None:
            # It may take effect at any time from now on, so further calls on the task would have no certain order.
            self._mine.pop(call.task_id, None)

    def _any(self) -> int | None:
        return self.choose.choice(list(self._mine)) if self._mine else None

    def _moment(self, ahead: float | None = None) -> datetime.datetime:
        if ahead is None:
            ahead = self.choose.choice([0, self.choose.uniform(0, HORIZON_SECONDS)])
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)


def _created(calls: list[Call], task_ids: list[int] | None) -> None:
    for call, task_id in zip(calls, task_ids or (), strict=False):
        call.task_id = task_id
