"""Whatever callers and workers do: each nominal time has one task, or one logged reason."""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import random
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import recompute as schedule_recompute
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.integration.store.schedules.test_odd_schedules import outdate
from tests.integration.store.schedules.test_schedule_claims import shift, skips
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)
STEPS = 40


class Player:
    """Plays random changes on one schedule of each hour, while hours pass."""

    def __init__(self, engine: Engine, made: schedule.Schedule, source: random.Random) -> None:
        self.engine = engine
        self.made = made
        self.source = source
        assert made.spec.anchor is not None
        self.anchor = made.spec.anchor
        self.active: list[list[datetime.datetime]] = [[made.created_at]]  # from, and until when it is paused

    async def step(self) -> None:
        """Plays one change, or two at once."""
        changes: list[Callable[[], Awaitable[object]]] = [
            self.advance, self.advance, self.finish, self.pass_time, self.pass_time, self.rename, self.change_template,
            self.pause_or_resume, self.recompute, self.cancel, self.delete, self.postpone, self.bring_forward,
            self.retry,
        ]  # fmt: skip
        first = self.source.choice(changes)
        alone = {self.pass_time, self.pause_or_resume}
        if first in alone or self.source.random() < 0.5:
            await first()
        else:
            await asyncio.gather(first(), self.source.choice([each for each in changes if each not in alone])())

    async def advance(self) -> None:
        await factories.advance(self.engine)

    async def finish(self) -> None:
        claimed = (await factories.claim_locked(self.engine)).tasks
        await task_outcomes.record(self.engine, [factories.outcome(each) for each in claimed], worker_id="worker")

    async def pass_time(self) -> None:
        span = self.source.choice([HOUR, HOUR, 4 * HOUR])
        await shift(self.engine, span)
        self.active = [[moment - span for moment in each] for each in self.active]

    async def rename(self) -> None:
        await self.update(name=str(self.source.random()))

    async def change_template(self) -> None:
        await self.update(template=dataclasses.replace(self.made.template, priority=self.source.randrange(10)))

    async def update(self, **changes: object) -> None:
        await schedule_edit.update(self.engine, self.made.schedule_id, changes, version=None, actor="api")

    async def pause_or_resume(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        if len(self.active[-1]) == 1:
            await schedule_edit.pause(self.engine, self.made.schedule_id, actor="api")
            self.active[-1].append(now)
        else:
            await schedule_edit.resume(self.engine, self.made.schedule_id, actor="api")
            self.active.append([now])

    async def recompute(self) -> None:
        await outdate(self.engine)
        await schedule_recompute.recompute(self.engine, seconds=5, actor="api")

    async def cancel(self) -> None:
        await self.on_next(lambda task_id: task_edit.cancel(self.engine, task_id, actor="api"))

    async def delete(self) -> None:
        await self.on_next(lambda task_id: task_edit.delete(self.engine, task_id, actor="api"))

    async def retry(self) -> None:
        await self.on_next(lambda task_id: task_edit.retry(self.engine, task_id, actor="api"))

    async def postpone(self) -> None:
        await self.move(datetime.timedelta(minutes=self.source.randrange(600)))

    async def bring_forward(self) -> None:
        await self.move(datetime.timedelta(0))

    async def move(self, span: datetime.timedelta) -> None:
        later = {"execution_time": datetime.datetime.now(datetime.UTC) + span}
        await self.on_next(lambda task_id: task_edit.update(self.engine, task_id, later, version=None, actor="api"))

    async def on_next(self, edit: Callable[[int], Awaitable[object]]) -> None:
        for task_id in await rows.next_ids(self.engine, after=datetime.datetime.now(datetime.UTC)):
            with contextlib.suppress(errors.DuetimeError):  # its status does not allow it
                await edit(task_id)

    async def expected(self) -> set[datetime.datetime]:
        """Returns the nominal times while it was not paused."""
        found = set()
        for begin, end in self.active:
            nominal = self.anchor + ((begin - self.anchor) // HOUR + 1) * HOUR
            while nominal <= end:
                found.add(nominal)
                nominal += HOUR
        return found


@pytest.mark.parametrize("overlap", schedule.Overlap)
@pytest.mark.parametrize("seed", range(4))
async def test_each_nominal_time_has_one_task_or_one_logged_reason(
    engine: Engine, overlap: schedule.Overlap, seed: int
) -> None:
    source = random.Random(f"{overlap} {seed}")
    made = await factories.create_schedule(engine, overlap=overlap, catch_up=source.choice(list(schedule.CatchUp)))
    player = Player(engine, made, source)
    for _ in range(STEPS):
        await player.step()
        assert len(await rows.next_ids(engine)) == (1 if len(player.active[-1]) == 1 else 0)
    if len(player.active[-1]) == 1:
        await player.pause_or_resume()
    tasks = await rows.occurrences(engine, made.schedule_id)
    ran = collections.Counter(nominal for nominal, is_cancelled in tasks if not is_cancelled)
    reasons = collections.Counter[datetime.datetime]()
    for each in await skips(engine, made):
        assert each.nominal_time is not None
        moment = each.nominal_time
        while moment <= (each.until or each.nominal_time):
            reasons[moment] += 1
            moment += HOUR
    total = ran + reasons
    assert {moment: count for moment, count in total.items() if count > 1} == {}
    assert await player.expected() - set(total) == set()
