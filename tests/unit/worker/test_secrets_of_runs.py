"""Handlers receive secrets, and neither outcomes nor logs show them."""

import asyncio
import base64
import dataclasses
import datetime
import io
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import structlog

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import execution, handlers, inputs, secret_store
from tests.support import mounts, runs

VALUE = "planted-Zx9+q/w==horse"
SHOWN = "[secret smtp/password]"
DATA = {"password": {"$secret": "smtp/password"}, "to": "ada"}
_log = structlog.get_logger()
pytestmark = pytest.mark.usefixtures("worker_logs")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> secret_store.SecretStore:
    mounts.write(tmp_path / "smtp", password=VALUE)
    return secret_store.SecretStore(tmp_path, [secret_store.Permission("do", "smtp/*")])


Run = Callable[..., Any]


@pytest.fixture
def run(store: secret_store.SecretStore) -> Run:
    async def run(function: Callable[..., Any], **changes: Any) -> task_outcomes.Outcome:
        registered = handlers.registered(handlers.handler("do")(function))
        assert registered is not None
        executor = execution.Executor({"do": registered}, threads=2, inputs=inputs.Inputs(store))
        return await executor.run(runs.claimed(name="do", **{"task_data": DATA, **changes}))

    return run


async def test_coroutines_plain_functions_and_models_receive_the_value(run: Run) -> None:
    received: list[Any] = []

    class Mail(pydantic.BaseModel):
        password: str
        to: str

    async def coroutine(given: handlers.Task) -> None:
        received.append(given.task_data)

    def plain(given: handlers.Task) -> None:
        received.append(given.task_data)

    async def typed(mail: Mail) -> None:
        received.append(mail.model_dump())

    for function in (coroutine, plain, typed):
        assert (await run(function)).change is task.Change.COMPLETED
    assert received == [{"password": VALUE, "to": "ada"}] * 3
    assert DATA["password"] == {"$secret": "smtp/password"}, "the claimed task keeps the reference"


async def test_a_task_without_references_does_not_wait() -> None:
    waits: list[None] = []

    async def nothing() -> None: ...

    registered = handlers.registered(handlers.handler("do")(nothing))
    assert registered is not None
    executor = execution.Executor({"do": registered}, threads=2)
    outcome = await executor.run(
        runs.claimed(name="do", task_data={"a": {"b": []}}), on_wait=lambda: waits.append(None)
    )
    assert (outcome.change, waits) == (task.Change.COMPLETED, [])


LEAKS: dict[str, Callable[[Any], str]] = {
    "the value": lambda given: str(given.task_data["password"]),
    "a sentence": lambda given: f"cannot log in with {given.task_data['password']}: refused",
    "JSON": lambda given: str({"headers": {"password": str(given.task_data["password"])}}),
    "basic authentication": lambda given: base64.b64encode(f"ada:{given.task_data['password']}".encode()).decode(),
    "its beginning": lambda given: f"{given.task_data['password'][:-3]}…",
    "repr of the task": repr,
    "repr of the data": lambda given: repr(given.task_data),
    "all fields": lambda given: str(dataclasses.asdict(given)),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
@pytest.mark.parametrize("is_coroutine", [True, False])
@pytest.mark.parametrize("kind", [ValueError, KeyError, handlers.Retry, handlers.Fail])
async def test_no_error_shows_a_secret(
    run: Run,
    worker_logs: io.StringIO,
    leak: Callable[[Any], str],
    is_coroutine: bool,
    kind: type[Exception],
) -> None:
    def plain(given: handlers.Task) -> None:
        try:
            raise OSError(leak(given))
        except OSError as error:
            raise kind(leak(given)) from error

    async def coroutine(given: handlers.Task) -> None:
        await asyncio.sleep(0)
        plain(given)

    outcome = await run(coroutine if is_coroutine else plain)
    shown = f"{outcome.error_message} {worker_logs.getvalue()}"
    assert outcome.error_message
    assert not remains(shown), shown


def remains(shown: str) -> list[str]:
    """Returns what is left of the secret."""
    encoded = base64.b64encode(f"ada:{VALUE}".encode()).decode()[6:]
    return [form[:10] for form in (VALUE, encoded) if form[:10] in shown]


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
async def test_no_result_shows_a_secret(run: Run, leak: Callable[[Any], str]) -> None:
    async def returning(given: handlers.Task) -> dict[str, Any]:
        return {"a": [leak(given)], leak(given): 1}

    outcome = await run(returning)
    assert (outcome.change, remains(str(outcome.result))) == (task.Change.COMPLETED, [])


async def test_what_is_replaced_is_named(run: Run) -> None:
    async def returning(given: handlers.Task) -> dict[str, Any]:
        return given.task_data

    async def raising(given: handlers.Task) -> None:
        raise ValueError(f"refused: {given.task_data['password']}")

    assert (await run(returning)).result == f'{{"password":"{SHOWN}","to":"ada"}}'
    assert (await run(raising)).error_message == f"ValueError: refused: {SHOWN}"


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_no_log_line_of_the_run_shows_a_secret(run: Run, worker_logs: io.StringIO, is_coroutine: bool) -> None:
    def plain(given: handlers.Task) -> None:
        password = given.task_data["password"]
        _log.info("logging in", password=str(password), data={"p": str(password)})
        logging.getLogger("mail").warning("logging in with %s", password)
        try:
            raise ValueError(password)
        except ValueError:
            _log.exception("it failed")
            logging.getLogger("mail").exception("it failed")

    async def coroutine(given: handlers.Task) -> None:
        plain(given)
        await asyncio.create_task(asyncio.to_thread(plain, given))

    await run(coroutine if is_coroutine else plain)
    lines = worker_logs.getvalue()
    assert lines.count(SHOWN) >= 5
    assert not remains(lines), lines


async def test_the_next_run_in_the_same_asyncio_task_is_not_redacted(run: Run) -> None:
    async def returning() -> dict[str, Any]:
        return {"a": VALUE}

    assert SHOWN in str((await run(returning)).result)
    assert VALUE in str((await run(returning, task_data={})).result)


async def test_invalid_values_are_not_quoted(run: Run) -> None:
    class Mail(pydantic.BaseModel):
        password: int

    async def typed(mail: Mail) -> None: ...

    outcome = await run(typed)
    assert outcome.change is task.Change.FAILED
    assert outcome.error_message == "task_data does not fit Mail: password: must be a whole number, not '[secret]'"


async def test_a_refused_reference_fails_for_good_and_its_handler_does_not_run(run: Run) -> None:
    async def never() -> None:
        raise AssertionError

    outcome = await run(never, task_data={"a": {"$secret": "other/password"}})
    assert (outcome.change, outcome.backoff) == (task.Change.FAILED, None)
    assert outcome.error_message == (
        'the secret "other/password" is not available to handler "do": DUETIME_SECRETS_ALLOW does not permit it'
    )


@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_reading_secrets_counts_against_the_timeout(
    run: Run, store: secret_store.SecretStore, monkeypatch: pytest.MonkeyPatch, is_coroutine: bool
) -> None:
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: object) -> None:
        asyncio.run_coroutine_threadsafe(reading.wait(), loop).result()
        raise handlers.Fail("it was read in the end")

    monkeypatch.setattr(store, "resolve", hang)

    async def coroutine() -> None: ...

    def plain() -> None: ...

    outcome = await run(coroutine if is_coroutine else plain, timeout=datetime.timedelta(seconds=0.05))
    reading.set()
    assert outcome.error_message == "TimeoutError: timed out after 0.05 s"
