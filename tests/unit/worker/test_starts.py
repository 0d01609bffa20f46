"""Which starts are logged, and when."""

import asyncio
import datetime
import time
import types
from typing import Any

import pytest

from duetime_core.model import task
from duetime_core.process import background, outage
from duetime_core.store.tasks import outcomes
from duetime_worker import context, starts
from duetime_worker.run import Run
from tests.support import runs

LEASE = datetime.timedelta(seconds=15)


class Recorder:
    """A start recorder; `logged` has the time of each logged start by task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unreachable: Any = None
        bell: Any = types.SimpleNamespace(changed=list)
        here = context.Context("worker", unreachable, bell, LEASE, outage.Outage("the database", "it waits"))
        self.logged: dict[int, float] = {}
        self.starts = starts.StartRecorder(here)
        monkeypatch.setattr(outcomes, "log_starts", self._log)

    async def _log(self, _engine: object, claimed: list[task.Task], *, worker_id: str) -> None:
        assert worker_id == "worker"
        self.logged |= {each.task_id: time.monotonic() for each in claimed}

    def claim(self, *task_ids: int) -> list[Run]:
        running = asyncio.current_task()
        claimed = [Run(runs.claimed(task_id=task_id), 0.0, running=running) for task_id in task_ids]
        self.starts.add(claimed)
        return claimed

    async def until_logged(self, task_id: int) -> None:
        async with asyncio.timeout(10):
            while task_id not in self.logged:  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.001)


async def test_the_start_of_a_run_is_logged_once_that_run_has_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    services = background.start(recorder.starts.run())
    continuing, ended, lost, not_begun = recorder.claim(1, 2, 3, 6)
    ended.has_ended = lost.is_lost = True
    not_begun.running = None
    await asyncio.sleep(starts.AFTER_SECONDS / 2)
    (later,) = recorder.claim(4)
    await recorder.until_logged(1)
    (ended_at_once,) = recorder.claim(5)
    ended_at_once.has_ended = True
    await recorder.until_logged(4)
    assert recorder.logged.keys() == {1, 4}
    not_begun.running = later.running
    await recorder.until_logged(6)
    for run in (continuing, later, not_begun):
        assert recorder.logged[run.claimed.task_id] - run.started >= starts.AFTER_SECONDS * 0.9
    await background.end(services)
