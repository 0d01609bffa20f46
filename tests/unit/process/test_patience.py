"""How long a call waits for locked rows: longer while it makes progress, and never past its end."""

import time

from duetime_core.process import patience


async def test_without_progress_it_ends_after_its_time() -> None:
    began = time.monotonic()
    waiting, looks = patience.Patience(began + 60), 0
    while await waiting.wait(has_progress=False):
        looks += 1
    assert patience.SECONDS <= time.monotonic() - began < 60
    assert looks >= 3


async def test_progress_begins_the_time_anew() -> None:
    waiting = patience.Patience(time.monotonic() + 60)
    while await waiting.wait(has_progress=False):
        pass
    assert await waiting.wait(has_progress=True)


async def test_it_never_continues_past_its_end() -> None:
    assert not await patience.Patience(time.monotonic()).wait(has_progress=True)
