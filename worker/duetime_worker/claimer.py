"""Chooses the claim for each queue: one statement, or a transaction under the queue lock."""

import contextlib
import dataclasses
from collections.abc import Collection, Coroutine
from typing import Any

from duetime_core.model import errors, task
from duetime_core.store.claiming import bounds, fast, floors, locked
from duetime_worker import context

_MOST_STEPS = 20
"""In how many steps one claim examines the tasks and keys of a queue that a worker does not know yet."""
_MOST_KEYS = 100_000
"""Of how many running tasks the keys are remembered. The sweep finds when runs of others end."""


class Claimer:
    """Claims for one worker. What it knows of a queue is from its last claim there, and may be out of date."""

    def __init__(self, here: context.Context) -> None:
        self._here = here
        self._limited: set[str] = set()
        self._bounds: dict[str, bounds.Bounds] = {}  # by queue
        self._keys: dict[int, tuple[str, str]] = {}  # by task: its limited queue, and its concurrency key
        self._by_priority: set[str] = set()  # queues with waiting tasks of a higher priority
        self.waits_for_runs: set[str] = set()
        """Queues in which due tasks wait for a run to end: to be polled when an outcome is recorded."""

    def is_limited(self, queue: str) -> bool:
        """Returns whether the queue was limited at the last claim from it."""
        return queue in self._limited

    def sweep(self) -> None:
        """Has the next claim from each queue look further back."""
        for known in self._bounds.values():
            known.sweep()

    async def claim(self, queue: str, limit: int) -> fast.Claim:
        """Claims up to `limit` due tasks of the queue, within its limits. Raises QueueBusy."""
        await self._prepare(queue)
        if queue in self._limited:
            return await self._claim_locked(queue, limit)
        by_priority = queue in self._by_priority
        claim = await fast.claim(
            self._here.engine,
            queue=queue,
            worker_id=self._here.worker_id,
            limit=limit,
            lease=self._here.lease,
            by_priority=by_priority,
            since=self._bounds_of(queue),
        )
        self._learn(queue, claim)
        rest = limit - len(claim.tasks)
        if rest and (queue in self._limited or (claim.has_urgent and not by_priority)):
            return await _with_rest(claim, self.claim(queue, rest))
        return claim

    async def _prepare(self, queue: str) -> None:
        known = self._bounds_of(queue)
        if known.is_new:
            await floors.begin(self._here.engine, queue, known)
        if known.ahead is not None:
            await floors.stamp_ahead(self._here.engine, queue, known)
        if known.is_next_sweep:
            await floors.stamp_left(self._here.engine, queue, known)
            await floors.note(self._here.engine, queue, known)

    async def _claim_locked(self, queue: str, limit: int) -> fast.Claim:
        claim = await self._claim_step(queue, limit)
        steps = 1
        with contextlib.suppress(errors.QueueBusy):
            # What was found starts before the rest is examined.
            while not claim.tasks and claim.has_missed and steps < _MOST_STEPS:
                claim = await self._claim_step(queue, limit)
                steps += 1
        if claim.is_limited:
            self._keys.update(
                {each.task_id: (queue, each.concurrency_key) for each in claim.tasks if each.concurrency_key}
            )
            if len(self._keys) > _MOST_KEYS:
                self._keys.clear()
        return claim

    async def _claim_step(self, queue: str, limit: int) -> fast.Claim:
        claim = await locked.claim(
            self._here.engine,
            queue=queue,
            worker_id=self._here.worker_id,
            limit=limit,
            lease=self._here.lease,
            since=self._bounds_of(queue),
        )
        self._learn(queue, claim)
        return claim

    def ended(self, task_ids: Collection[int]) -> None:
        """Has the next claims look at the keys of these tasks, whose runs have ended and are recorded."""
        for task_id in task_ids:
            if (known := self._keys.pop(task_id, None)) is not None:
                queue, key = known
                if (of_keys := self._bounds_of(queue).of_keys) is not None:
                    of_keys.ended.add(key)

    def _bounds_of(self, queue: str) -> bounds.Bounds:
        return self._bounds.setdefault(queue, bounds.Bounds())

    def _learn(self, queue: str, claim: fast.Claim) -> None:
        for is_member, members in (
            (claim.is_limited, self._limited),
            (claim.has_urgent, self._by_priority),
            (claim.waits_for_runs, self.waits_for_runs),
        ):
            if is_member:
                members.add(queue)
            else:
                members.discard(queue)

    async def claim_quarantined(self, queues: Collection[str], level: int, limit: int) -> list[task.Task]:
        """Claims up to `limit` quarantined tasks of one of `fast.LEVELS`, within the limits of their queues.

        Queues that are locked are left to the next sweep.
        """
        claimed = await fast.claim_quarantined(
            self._here.engine,
            queues=queues,
            level=level,
            worker_id=self._here.worker_id,
            limit=limit,
            lease=self._here.lease,
        )
        for queue in list(self._limited):
            if len(claimed) < limit:
                with contextlib.suppress(errors.QueueBusy):
                    claimed += await locked.claim_quarantined(
                        self._here.engine,
                        queue=queue,
                        level=level,
                        worker_id=self._here.worker_id,
                        limit=limit - len(claimed),
                        lease=self._here.lease,
                    )
        return claimed


async def _with_rest(claim: fast.Claim, claiming: Coroutine[Any, Any, fast.Claim]) -> fast.Claim:
    """Returns both claims as one. Raises QueueBusy if the first one has no tasks."""
    try:
        rest = await claiming
    except errors.QueueBusy:
        if not claim.tasks:
            raise
        return claim
    return dataclasses.replace(rest, tasks=[*claim.tasks, *rest.tasks])
