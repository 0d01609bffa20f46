"""The polls of a worker: which queues to claim from next, with at most one claim in flight for each."""

import asyncio
import collections
import random
from collections.abc import Awaitable, Callable, Collection

from duetime_core.model import errors
from duetime_core.process import failures
from duetime_worker import context, lost_claims, quarantine

Source = str | quarantine.Source
"""Where tasks are claimed from: a queue by its name, or the quarantine of all queues."""

MOST_CLAIMS = 4
"""Claims in flight, of the ten connections of a worker: outcomes should not wait for one."""
_FIRST_BUSY_SECONDS = 0.002
_LONGEST_BUSY_SECONDS = 0.05


class Polls:
    """Begins a claim for each source that is to be polled, in turn, while slots are free.

    Queues are independent: a claim that is slow, fails or finds its queue locked delays no claim from another. `claim`
    claims at most so many tasks of a source and starts them; `slots` returns how many the next claim may ask for, and
    `held` the ids of all tasks that this worker knows of.
    """

    def __init__(
        self,
        here: context.Context,
        *,
        claim: Callable[[Source, int], Awaitable[None]],
        slots: Callable[[Source], int],
        held: Callable[[], Collection[int]],
    ) -> None:
        self._here = here
        self._claim = claim
        self._slots = slots
        self._held = held
        self._polls: dict[Source, None] = {}  # to be polled, in their turn
        # May have more due tasks than there were slots; longest unserved first.
        self._backlog: dict[Source, None] = {}
        self._in_flight: dict[Source, asyncio.Task[None]] = {}
        self.reserved = 0
        """Slots of the claims in flight."""
        self._resting: set[Source] = set()  # not to be polled before their timers fire
        self._busy: collections.Counter[Source] = collections.Counter()  # how often in a row the source was locked
        self._failures: dict[Source, failures.Failures] = {}
        self._lost: dict[Source, lost_claims.LostClaims] = {}
        self._to_release: set[Source] = set()  # once their claims in flight have ended
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()  # a claim ended
        self._is_running = False
        self._is_stopping = False

    def poll(self, source: Source) -> None:
        """Has `run` claim due tasks of `source` soon. Polls that come together are one."""
        self._polls[source] = None
        self._woken.set()

    def poll_backlog(self) -> None:
        """Polls the sources that had more due tasks than there were slots, because a slot is free."""
        for source in self._backlog:
            self.poll(source)

    def release_lost(self) -> None:
        """Has `run` release the tasks of lost claims before it claims from their sources again."""
        self._to_release.update(self._lost)

    def was_full(self, source: Source, *, is_full: bool) -> None:
        """Records whether a claim had as many tasks as were asked for, so that more may be due."""
        self._backlog.pop(source, None)
        if is_full:
            self._backlog[source] = None

    async def run(self) -> None:
        """Begins claims until `stop`."""
        self._is_running = True
        try:
            while not self._is_stopping:
                await self._woken.wait()
                self._woken.clear()
                self._begin_claims()
        finally:
            self._is_running = False

    def _begin_claims(self) -> None:
        for source in list(self._polls):
            if len(self._in_flight) >= MOST_CLAIMS or self._is_stopping:
                return
            if source in self._in_flight or source in self._resting:
                continue
            slots = max(0, self._slots(source))
            if slots == 0 and self.reserved:
                continue  # until the claims in flight return what they do not need
            del self._polls[source]
            if slots == 0:
                self._backlog.setdefault(source)
                if not self._has_lost(source):
                    continue
            self.reserved += slots
            self._in_flight[source] = asyncio.create_task(self._serve(source, slots))

    async def _serve(self, source: Source, slots: int) -> None:
        try:
            if self._has_lost(source):
                self._to_release.discard(source)
                await self._lost[source].release(self._held)
            if slots > 0:
                with self._lost_claims(source).unless_answered():
                    await self._claim_from(source, slots)
            self._failures.pop(source, None)
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
        except Exception as error:
            # What is wrong with one queue, or with a task of it, must not keep others from being served.
            failing = self._failures.setdefault(source, failures.Failures("claim failed", source=str(source)))
            self._rest(source, failing.add(error))
        finally:
            del self._in_flight[source]
            self.reserved -= slots
            self._ended.set()
            self._woken.set()
            if self._is_running:
                self._begin_claims()  # at once: the next claim is sent before the tasks of this one begin to run

    async def _claim_from(self, source: Source, slots: int) -> None:
        try:
            await self._claim(source, slots)
        except errors.QueueBusy:
            self._rest(source, min(_FIRST_BUSY_SECONDS * 2.0 ** self._busy[source], _LONGEST_BUSY_SECONDS))
            self._busy[source] += 1
        else:
            self._busy.pop(source, None)
        self._here.database_outage.end()

    def _rest(self, source: Source, seconds: float) -> None:
        """Polls the source after a pause, and not before."""
        self._resting.add(source)
        self._polls[source] = None
        asyncio.get_running_loop().call_later(seconds * random.uniform(0.5, 1.0), self._end_rest, source)

    def _end_rest(self, source: Source) -> None:
        self._resting.discard(source)
        self._woken.set()

    def stop(self) -> None:
        """Begins no more claims."""
        self._is_stopping = True
        self._woken.set()

    async def ended(self) -> None:
        """Waits until no claim is in flight."""
        while self._in_flight:
            self._ended.clear()
            await self._ended.wait()

    def cancel(self) -> None:
        """Cancels the claims in flight."""
        for claiming in self._in_flight.values():
            claiming.cancel()

    @property
    def has_claims(self) -> bool:
        """Whether claims are in flight."""
        return bool(self._in_flight)

    async def release_all(self) -> None:
        """Releases the tasks of all lost claims; no claim may be in flight."""
        await asyncio.gather(*(lost.release(self._held) for lost in self._lost.values() if lost.are_possible))

    def _has_lost(self, source: Source) -> bool:
        return source in self._to_release and self._lost[source].are_possible

    def _lost_claims(self, source: Source) -> lost_claims.LostClaims:
        if source not in self._lost:
            queue = None if isinstance(source, quarantine.Source) else source
            self._lost[source] = lost_claims.LostClaims(self._here, queue)
        return self._lost[source]
