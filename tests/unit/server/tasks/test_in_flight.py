"""A batch waits for the creates that use one of its request ids, and for no others."""

import asyncio

from duetime_server.tasks import in_flight


async def test_a_batch_waits_for_its_request_ids_alone() -> None:
    tracked = in_flight.InFlight()
    entered = asyncio.Event()

    async def batch(*request_ids: str) -> None:
        async with tracked.track_alone(request_ids):
            entered.set()

    with tracked.track(["a"]):
        await batch("b")
        assert entered.is_set()
        entered.clear()
        waiting = asyncio.create_task(batch("a", "c"))
        await asyncio.sleep(0)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


async def test_an_id_that_two_creates_use_is_free_once_its_first_user_ends() -> None:
    tracked = in_flight.InFlight()
    with tracked.track(["a"]):
        with tracked.track(["a"]):
            pass
        waiting = asyncio.create_task(asyncio.wait_for(is_alone(tracked), 5))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def is_alone(tracked: in_flight.InFlight) -> bool:
    async with tracked.track_alone(["a"]):
        return True
