"""The claimer: it knows which queues are claimed from in one statement, and which in a transaction."""

import dataclasses
from collections.abc import Collection

from duetime_core.model import task
from duetime_core.store.claiming import fast, locked
from duetime_worker import context


class Claimer:
    """Claims for one worker. What it knows about queues is what their last claims told, and may be out of date."""

    def __init__(self, here: context.Context) -> None:
        self._here = here
        self._controlled: set[str] = set()
        self._careful: set[str] = set()  # those, and where next occurrences of schedules are due
        self._by_priority: set[str] = set()  # those in which tasks of a higher priority wait
        self.waits_for_runs: set[str] = set()
        """The queues in which something is due that the end of a run lets start: look there when one is recorded."""

    async def claim(self, queue: str, limit: int) -> fast.Claim:
        """Takes up to `limit` due tasks of the queue, and at most what its limits allow."""
        if queue in self._careful:
            return await self._claim_carefully(queue, limit)
        by_priority = queue in self._by_priority
        claim = await fast.claim(
            self._here.engine,
            queue=queue,
            worker_id=self._here.worker_id,
            limit=limit,
            lease=self._here.lease,
            by_priority=by_priority,
        )
        self._learn(queue, claim)
        room = limit - len(claim.tasks)
        if room and (queue in self._careful or (claim.has_priorities and not by_priority)):
            rest = await self.claim(queue, room)
            return dataclasses.replace(rest, tasks=[*claim.tasks, *rest.tasks])
        return claim

    async def _claim_carefully(self, queue: str, limit: int) -> fast.Claim:
        claim = await locked.claim(
            self._here.engine, queue=queue, worker_id=self._here.worker_id, limit=limit, lease=self._here.lease
        )
        self._learn(queue, claim)
        return claim

    def _learn(self, queue: str, claim: fast.Claim) -> None:
        for is_member, members in (
            (claim.is_limited, self._controlled),
            (claim.is_limited or claim.has_occurrences, self._careful),
            (claim.has_priorities, self._by_priority),
            (claim.waits_for_runs, self.waits_for_runs),
        ):
            if is_member:
                members.add(queue)
            else:
                members.discard(queue)

    async def claim_quarantined(self, queues: Collection[str], level: int, limit: int) -> list[task.Task]:
        """Takes up to `limit` suspects of one of `claims.LEVELS`, and of each queue at most what its limits allow."""
        taken = await fast.claim_quarantined(
            self._here.engine,
            queues=queues,
            level=level,
            worker_id=self._here.worker_id,
            limit=limit,
            lease=self._here.lease,
        )
        for queue in self._controlled:
            if len(taken) < limit:
                taken += await locked.claim_quarantined(
                    self._here.engine,
                    queue=queue,
                    level=level,
                    worker_id=self._here.worker_id,
                    limit=limit - len(taken),
                    lease=self._here.lease,
                )
        return taken
