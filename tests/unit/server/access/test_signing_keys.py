"""An issuer's keys are read when they are needed, at most once a minute, and outlive its outage."""

import asyncio
import pathlib

import pytest
import structlog.testing

from duetime_core.model import errors
from duetime_core.process import background
from duetime_server.access import issuers, key_source, signing_keys
from tests.support import issuers as made
from tests.support import moved_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> moved_time.MovedTime:
    """The clock of what is known."""
    return moved_time.MovedTime(monkeypatch, signing_keys)


class Source:
    """The issuer's JWK Set, and how often it was read."""

    def __init__(self) -> None:
        self.issuer = made.Issuer()
        self.content: bytes | None = None
        self.is_down = False
        self.reads = 0
        self.read_began: asyncio.Queue[int] = asyncio.Queue()
        self.answering = asyncio.Event()
        self.answering.set()

    async def read(self, _: issuers.Issuer) -> bytes:
        self.reads += 1
        self.read_began.put_nowait(self.reads)
        await self.answering.wait()
        if self.is_down:
            raise key_source.Failed("it answered with status 500")
        return self.issuer.keys() if self.content is None else self.content


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    """Stands for the issuer."""
    found = Source()
    monkeypatch.setattr(key_source, "read", found.read)
    return found


@pytest.fixture
def keys(tmp_path: pathlib.Path, source: Source, clock: moved_time.MovedTime) -> signing_keys.SigningKeys:
    """The keys of the issuer, which are not read in the background."""
    chosen = issuers.read(str(made.write_file(tmp_path, source.issuer.url)))[made.ALIAS]
    return signing_keys.SigningKeys(made.ALIAS, chosen)


async def test_the_first_token_reads_the_keys_and_the_next_ones_do_not(
    keys: signing_keys.SigningKeys, source: Source
) -> None:
    found = await keys.find("one", "ES256")
    assert found is not None
    assert keys.get("one", "ES256") is found is await keys.find("one", "ES256")
    assert source.reads == 1


async def test_a_key_is_found_for_its_own_algorithm_alone(keys: signing_keys.SigningKeys) -> None:
    assert await keys.find("one", "RS256") is None
    assert await keys.find("one", "ES256") is not None


async def test_a_thousand_unknown_keys_cause_one_read_a_minute(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    await keys.find("one", "ES256")
    for minute in range(1, 4):
        clock.move(60)
        found = await asyncio.gather(*(keys.find(f"unknown {number}", "ES256") for number in range(1_000)))
        assert set(found) == {None}
        assert source.reads == 1 + minute
        assert await keys.find("one", "ES256") is not None


async def test_a_new_key_is_found_at_once_if_the_keys_were_not_read_in_the_last_minute(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    await keys.find("one", "ES256")
    source.issuer.signers.append(made.signer("two"))
    clock.move(59)
    assert await keys.find("two", "ES256") is None
    clock.move(1)
    assert await keys.find("two", "ES256") is not None


async def test_a_key_that_the_issuer_removed_is_forgotten_and_the_others_stay(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    source.issuer.signers.append(made.signer("two"))
    kept = await keys.find("one", "ES256")
    clock.move(60)
    await keys.find("unknown", "ES256")
    assert keys.get("one", "ES256") is kept  # nothing has changed
    del source.issuer.signers[1]
    clock.move(60)
    assert await keys.find("unknown", "ES256") is None
    assert keys.get("two", "ES256") is None
    assert keys.get("one", "ES256") is not None


@pytest.mark.parametrize("content", [None, b"", b'{"keys": []}'])
async def test_known_keys_outlive_the_issuer_s_outage_by_a_day(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime, content: bytes | None
) -> None:
    await keys.find("one", "ES256")
    source.is_down, source.content = content is None, content
    for _ in range(23):
        clock.move(3600)
        assert await keys.find("unknown", "ES256") is None
        assert await keys.find("one", "ES256") is not None
    clock.move(3600)
    assert keys.get("one", "ES256") is None
    with pytest.raises(errors.IssuerUnavailable):
        await keys.find("one", "ES256")
    clock.move(60)
    source.is_down, source.content = False, None
    assert await keys.find("one", "ES256") is not None


async def test_without_any_keys_nobody_is_let_in_and_callers_may_retry(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    source.is_down = True
    for _ in range(1_000):
        with pytest.raises(errors.IssuerUnavailable):
            await keys.find("one", "ES256")
    assert source.reads == 1


async def test_a_slow_issuer_delays_only_tokens_of_unknown_keys_and_is_read_once_for_all(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    await keys.find("one", "ES256")
    clock.move(60)
    source.answering.clear()
    waiting = [asyncio.create_task(keys.find(f"unknown {number}", "ES256")) for number in range(100)]
    while await source.read_began.get() < 2:
        pass
    assert await keys.find("one", "ES256") is not None
    hung_up = waiting.pop(0)
    hung_up.cancel()  # the one who caused the read
    clock.move(600)  # however long it takes
    waiting.append(asyncio.create_task(keys.find("unknown", "ES256")))
    await asyncio.sleep(0)
    source.answering.set()
    assert set(await asyncio.gather(*waiting)) == {None}
    assert hung_up.cancelled()
    assert source.reads == 2


async def test_an_outage_is_logged_once_and_so_is_its_end(
    keys: signing_keys.SigningKeys, source: Source, clock: moved_time.MovedTime
) -> None:
    source.is_down = True
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(errors.IssuerUnavailable):
                await keys.find("one", "ES256")
            clock.move(60)
        source.is_down = False
        await keys.find("one", "ES256")
    assert [(each["event"].partition(";")[0], each.get("error")) for each in logged] == [
        ("the issuer corp is unavailable", "it answered with status 500"),
        ("the issuer corp recovered", None),
    ]


async def test_keys_are_read_in_the_background_and_sooner_after_a_failure(
    keys: signing_keys.SigningKeys, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "REFRESH_SECONDS", 3600.0)
    monkeypatch.setattr(signing_keys, "RETRY_SECONDS", 0.05)
    source.is_down = True
    service = background.start(keys.run())
    async with asyncio.timeout(30):
        while await source.read_began.get() < 3:
            pass
        source.is_down = False
        while await source.read_began.get() < 4:
            pass
        assert await keys.find("one", "ES256") is not None
    assert keys._interval_seconds == 3600
    await background.end(service)
