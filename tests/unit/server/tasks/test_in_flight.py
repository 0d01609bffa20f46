"""A batch waits for the creates that use one of its request ids, and for no others."""

import asyncio

from duetime_core.model import namespace
from duetime_server.tasks import in_flight

A, B, C = ((namespace.DEFAULT, name) for name in "abc")


async def test_a_batch_waits_for_its_request_ids_alone() -> None:
    tracked = in_flight.InFlight()
    entered = asyncio.Event()

    async def batch(*request_ids: in_flight.RequestId) -> None:
        async with tracked.track_alone(request_ids):
            entered.set()

    with tracked.track([A]):
        await batch(B)
        assert entered.is_set()
        entered.clear()
        waiting = asyncio.create_task(batch(A, C))
        await asyncio.sleep(0)
        assert not entered.is_set()
    await waiting
    assert entered.is_set()


async def test_an_id_that_two_creates_use_is_free_once_its_first_user_ends() -> None:
    tracked = in_flight.InFlight()
    with tracked.track([A]):
        with tracked.track([A]):
            pass
        waiting = asyncio.create_task(asyncio.wait_for(is_alone(tracked), 5))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def is_alone(tracked: in_flight.InFlight) -> bool:
    async with tracked.track_alone([A]):
        return True


async def test_the_same_id_in_two_namespaces_is_two() -> None:
    tracked = in_flight.InFlight()
    with tracked.track([(namespace.DEFAULT + 1, "a")]):
        assert await asyncio.wait_for(is_alone(tracked), 5)
