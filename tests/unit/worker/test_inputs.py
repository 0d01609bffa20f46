"""Handlers receive encrypted task_data in plain text, and nothing else shows it."""

import io
import json
import pathlib
import random
import string
import tracemalloc
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import structlog

import duetime_payloads
from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_payloads import Kind
from duetime_worker import execution, handlers, inputs, redaction, secret_store
from tests.support import mounts, payload_keys, runs

CODEC = payload_keys.codec("a")
DATA = {"card": "4111 1111 1111 1111", "pin": 12345678, "to": "ada", "deep": [{"note": "private remark"}]}
PLANTED = ("4111 1111", "12345678", "private remark")


def encrypted(data: dict[str, Any] = DATA, *, handler: str = "do", kind: Kind = Kind.TASK_DATA) -> dict[str, Any]:
    return CODEC.encrypt(data, kind=kind, handler=handler)


async def run(
    function: Callable[..., Any], given: inputs.Inputs | None = None, **changes: Any
) -> task_outcomes.Outcome:
    registered = handlers.registered(handlers.handler("do")(function))
    assert registered is not None
    executor = execution.Executor({"do": registered}, threads=2, inputs=given or inputs.Inputs(codec=CODEC))
    return await executor.run(runs.claimed(name="do", **{"task_data": encrypted(), **changes}))


async def returning(given: handlers.Task) -> dict[str, Any]:
    return given.task_data


def plain(given: handlers.Task) -> dict[str, Any]:
    return given.task_data


def opened(outcome: task_outcomes.Outcome) -> dict[str, Any]:
    assert outcome.result is not None, outcome.error_message
    return CODEC.decrypt(json.loads(outcome.result), kind=Kind.RESULT, handler="do")


@pytest.mark.parametrize("function", [returning, plain])
async def test_coroutines_and_plain_functions_receive_plain_text_and_their_results_are_encrypted(
    function: Callable[..., Any],
) -> None:
    outcome = await run(function)
    assert opened(outcome) == DATA
    assert not [each for each in PLANTED if each in str(outcome.result)]


async def test_the_result_of_a_task_that_is_not_encrypted_is_not_either() -> None:
    assert (await run(returning, task_data={"a": 1})).result == '{"a":1}'


async def test_no_result_is_stored_as_none_and_an_empty_one_encrypted() -> None:
    async def nothing() -> None: ...

    async def empty() -> dict[str, Any]:
        return {}

    assert (await run(nothing)).result is None
    assert opened(await run(empty)) == {}


async def test_references_to_secrets_work_in_encrypted_data(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path, token="planted-hunter2")
    store = secret_store.SecretStore(tmp_path, [secret_store.Permission("do", "*")])
    received: list[Any] = []

    async def receiving(given: handlers.Task) -> dict[str, Any]:
        received.append(given.task_data)
        return {"echo": str(given.task_data["a"]), "to": given.task_data["to"]}

    data = encrypted({"a": {"$secret": "token"}, "to": "private remark"})
    outcome = await run(receiving, inputs.Inputs(store, CODEC), task_data=data)
    assert received == [{"a": "planted-hunter2", "to": "private remark"}]
    assert opened(outcome) == {"echo": "[secret token]", "to": "private remark"}


def test_runs_with_the_same_secrets_share_what_redacts_them_until_one_changes(tmp_path: pathlib.Path) -> None:
    given = inputs.Inputs(secret_store.SecretStore(tmp_path, [secret_store.Permission("do", "*")]))

    def read() -> redaction.Hidden:
        return given.read("do", {"a": {"$secret": "token"}}).hidden

    mounts.write(tmp_path, token="planted-hunter2")
    hidden = read()
    assert hidden == read()
    assert hidden.texts is hidden.results
    mounts.write(tmp_path, token="planted-hunter3")
    assert read().texts.text("planted-hunter2, planted-hunter3").endswith(", [secret token]")


class Payment(pydantic.BaseModel):
    card: int


async def typed(payment: Payment) -> None: ...


async def raising(given: handlers.Task) -> None:
    raise ValueError(f"refused: {given.task_data} {json.dumps(given.task_data)}")


async def chained(given: handlers.Task) -> None:
    try:
        raise KeyError(given.task_data["card"])
    except KeyError as error:
        raise RuntimeError(given.task_data["deep"]) from error


@pytest.mark.parametrize("function", [typed, raising, chained])
async def test_errors_and_log_lines_show_nothing_of_it(worker_logs: io.StringIO, function: Callable[..., Any]) -> None:
    outcome = await run(function)
    lines = worker_logs.getvalue()
    assert "[encrypted]" in f"{outcome.error_message} {lines}"
    for shown in (str(outcome.error_message), lines):
        assert not [each for each in PLANTED if each in shown], shown


async def test_texts_of_a_run_with_much_encrypted_data_are_withheld_as_a_whole(worker_logs: io.StringIO) -> None:
    chance = random.Random(7)
    data = {"note": "".join(chance.choices(string.ascii_letters, k=150_000))}

    async def leaking(given: handlers.Task) -> None:
        structlog.get_logger().info(f"about {given.task_data['note'][:9]}")
        raise ValueError(given.task_data["note"][:9])

    tracemalloc.start()
    try:
        outcome = await run(leaking, task_data=encrypted(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000, "a worker runs a thousand of them at once"
    assert outcome.error_message == "ValueError: [encrypted]"
    about, failed = worker_logs.getvalue().splitlines()
    assert data["note"][:9] not in about + failed
    assert "level=info event=[encrypted]" in about
    assert 'level=warning event="run failed"' in failed
    assert "task_id=7" in failed


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            encrypted(handler="other"),
            'it was not encrypted as task_data of handler "do" with key a, or',
        ),
        (encrypted(kind=Kind.RESULT), 'it was not encrypted as task_data of handler "do" with key a, or was changed'),
        ({"$enc": {"k": "a"}}, "it is not an encrypted payload: .$enc: must be an object with"),
        ({**encrypted(), "a": 1}, "it is not an encrypted payload: must have $enc alone"),
    ],
)
async def test_what_was_not_encrypted_for_this_handler_fails_for_good(data: dict[str, Any], problem: str) -> None:
    outcome = await run(returning, task_data=data)
    assert outcome.change is task.Change.FAILED
    assert str(outcome.error_message).startswith(f"task_data cannot be decrypted: {problem}")


@pytest.mark.parametrize(
    ("codec", "problem"),
    [
        (
            payload_keys.codec("b", "c"),
            "task_data cannot be decrypted: it is encrypted with the key a, which is not among the known: b, c: see "
            "DUETIME_PAYLOAD_KEYS_FILE",
        ),
        (None, "task_data is encrypted, and this worker has no DUETIME_PAYLOAD_KEYS_FILE"),
    ],
)
async def test_a_key_that_this_worker_lacks_is_waited_for(
    codec: duetime_payloads.PayloadCodec | None, problem: str
) -> None:
    outcome = await run(returning, inputs.Inputs(codec=codec))
    assert (outcome.change, outcome.error_message) == (task.Change.RETRY_SCHEDULED, problem)


async def test_a_result_that_is_too_large_encrypted_fails_with_what_would_be_right() -> None:
    async def large() -> dict[str, Any]:
        return {"a": "x" * 197_000}

    outcome = await run(large)
    assert outcome.change is task.Change.FAILED
    assert outcome.error_message == (
        "the handler's result cannot be stored: result: must be at most 256 KiB as JSON, encrypted: about 191 KiB "
        "before"
    )
