"""Many tasks in one stack: each runs once, and on time."""

import asyncio
import datetime
import pathlib
import statistics

import pytest
import sqlalchemy as sa

import duetime_client
from duetime_client import NewTask, Status
from duetime_core.postgres import database
from tests.support import clients, stacks

TOTAL = 5000

_HISTORIES = sa.text("""
SELECT changes, count(*) FROM (
    SELECT string_agg(change, ' ' ORDER BY version) AS changes FROM task_logs GROUP BY task_id
) AS histories GROUP BY changes
""")
_WORKERS = sa.text("SELECT count(DISTINCT actor) FROM task_logs WHERE change = 'completed'")


@pytest.mark.timeout(240)
async def test_two_servers_and_three_workers_complete_five_thousand_tasks_exactly_once(
    short_directory: pathlib.Path,
) -> None:
    stack = await stacks.start(short_directory / "many" / "data", "--servers", "2", "--workers", "3")
    async with duetime_client.AsyncClient(stack.address) as client:
        async with client.watch_all(status=[Status.COMPLETED]) as completions, asyncio.timeout(120):
            task_ids = await client.create_many(NewTask("noop", clients.NOW) for _ in range(TOTAL))
            seen: list[int] = []
            async for event in completions:
                seen.append(event.change.task_id)
                if len(seen) == TOTAL:
                    break
        assert sorted(seen) == task_ids
    engine = database.connect(stack.database_url, pool_size=1)
    async with engine.connect() as connection:
        assert (await connection.execute(_HISTORIES)).all() == [("created started completed", TOTAL)]
        assert (await connection.execute(_WORKERS)).scalar_one() > 1
    await engine.dispose()
    assert await stack.stop() == 0


async def test_a_hundred_tasks_start_at_their_time_and_never_before(
    stack: stacks.Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    in_two_seconds = datetime.timedelta(seconds=2)
    async with duetime_client.AsyncClient(stack.address) as client:
        task_ids = await asyncio.gather(*(client.create("noop", in_two_seconds) for _ in range(100)))
        done = await asyncio.gather(*(clients.finished(client, task_id) for task_id in task_ids))
    lateness = sorted(
        (each.executed_at - each.execution_time) / datetime.timedelta(milliseconds=1)
        for each in done
        if each.executed_at is not None
    )
    with capsys.disabled():
        print(  # noqa: T201 - figures for the reader of the test's output
            f"\n100 tasks, start - due: median {statistics.median(lateness):.1f} ms, "
            f"99th {lateness[98]:.1f} ms, worst {lateness[99]:.1f} ms"
        )
    assert lateness[0] >= 0
    # On an idle machine all are within 50 ms. If only sweeps found them, the median would be 500 ms.
    assert statistics.median(lateness) < 250
    assert lateness[99] < 5000
