import datetime

from duetime_client import AsyncClient

from tests import processes


async def test_a_due_task_runs_and_its_result_is_kept(start: processes.Starter) -> None:
    server = await start.server()
    await start.worker()
    async with AsyncClient(server.address) as client:
        task_id = await client.create("echo", datetime.timedelta(0), {"a": 1})
        seen = [event.change.status async for event in client.watch(task_id)]
        print(seen)
        assert (await client.get(task_id)).result == {"a": 1}
