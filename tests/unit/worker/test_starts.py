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
    """A start recorder of runs that continue until they are in `ended`; `logged` has the time of each start by id."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        unreachable: Any = None
        bell: Any = types.SimpleNamespace(changed=list)
        here = context.Context("worker", unreachable, bell, LEASE, outage.Outage("the database", "it waits"))
        self.ended: set[int] = set()
        self.logged: dict[int, float] = {}
        self.starts = starts.StartRecorder(here, lambda run: run.claimed.task_id not in self.ended)
        monkeypatch.setattr(outcomes, "log_starts", self._log)

    async def _log(self, _engine: object, claimed: list[task.Task], *, worker_id: str) -> None:
        assert worker_id == "worker"
        self.logged |= {each.task_id: time.monotonic() for each in claimed}

    def claim(self, *task_ids: int) -> float:
        self.starts.add([Run(runs.claimed(task_id=task_id), 0.0) for task_id in task_ids])
        return time.monotonic()

    async def until_logged(self, task_id: int) -> None:
        async with asyncio.timeout(10):
            while task_id not in self.logged:  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.001)


async def test_the_start_of_a_run_is_logged_once_that_run_has_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    services = background.start(recorder.starts.run())
    first = recorder.claim(1, 2)
    recorder.ended.add(2)
    await asyncio.sleep(starts.AFTER_SECONDS / 2)
    second = recorder.claim(3)
    await recorder.until_logged(1)
    recorder.claim(4)
    recorder.ended.add(4)
    await recorder.until_logged(3)
    assert recorder.logged.keys() == {1, 3}
    assert recorder.logged[1] - first >= starts.AFTER_SECONDS * 0.9
    assert recorder.logged[3] - second >= starts.AFTER_SECONDS * 0.9
    await background.end(services)
