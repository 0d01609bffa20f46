"""What clients with a codec send, and what they return."""

import datetime
from typing import Any

import pytest

import duetime_client
from duetime.v1 import schedule_pb2, task_pb2, task_service_pb2
from duetime_client import encryption, errors, payload, request
from duetime_payloads import Kind
from tests.support import payload_keys

NOW = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC)
CODEC = payload_keys.codec("a")
PAYLOADS = encryption.Payloads(CODEC)
DATA = {"to": "ada", "n": 1}


def create(task_data: Any, name: str = "greet") -> task_service_pb2.CreateTaskRequest:
    new = duetime_client.NewTask(name, NOW, task_data, request_id="r")
    return PAYLOADS.sealed(request.create_task(new), request_id="r")


def opened(message: Any, name: str = "greet") -> dict[str, Any]:
    return CODEC.decrypt(payload.from_struct(message.task_data), kind=Kind.TASK_DATA, handler=name)


def struct(kind: Kind, value: dict[str, Any], handler: str = "greet") -> Any:
    return payload.to_struct(CODEC.encrypt(value, kind=kind, handler=handler), "task_data")


def test_task_data_is_encrypted_for_its_handler_even_if_there_is_none() -> None:
    assert opened(create(DATA)) == DATA
    assert opened(create(None)) == {}
    assert opened(create({"x": 2.0, "y": 1e22})) == {"x": 2, "y": 1e22}


def test_a_repeated_request_is_the_same() -> None:
    assert create(DATA) == create(dict(reversed(DATA.items())))


def test_without_a_codec_nothing_is_changed() -> None:
    plain, message = encryption.Payloads(None), request.create_task(duetime_client.NewTask("greet", NOW, DATA))
    assert payload.from_struct(plain.sealed(message).task_data) == DATA
    sealed = task_pb2.Task(
        task_id=7, name="greet", status=task_pb2.Task.pending, task_data=struct(Kind.TASK_DATA, DATA)
    )
    assert plain.task(sealed).task_data.keys() == {"$enc"}


def test_an_update_changes_name_and_task_data_together() -> None:
    def update(**changes: Any) -> task_service_pb2.UpdateTaskRequest:
        return PAYLOADS.sealed_update(request.update_task(7, changes, None, NOW))

    assert opened(update(name="wave", task_data=DATA), "wave") == DATA
    assert opened(update(name="wave", task_data=None), "wave") == {}
    assert update(queue="mail").HasField("task_data") is False
    with pytest.raises(
        errors.InvalidArgument, match=r"^name: must be given with task_data: task_data is encrypted for"
    ):
        update(task_data=DATA)
    with pytest.raises(errors.InvalidArgument, match=r"^task_data: must be given with name"):
        update(name="wave", queue="mail")


def test_what_is_too_large_encrypted_is_refused_with_what_would_be_right() -> None:
    assert create({"a": "x" * 195_000}).HasField("task_data")
    with pytest.raises(
        errors.InvalidArgument,
        match=r"^task_data: must be at most 256 KiB encrypted, which is about 191 KiB before, as JSON$",
    ):
        create({"a": "x" * 197_000})


def test_tasks_and_schedules_are_returned_decrypted() -> None:
    given = {"task_data": struct(Kind.TASK_DATA, DATA), "result": struct(Kind.RESULT, {"a": [1]})}
    read = PAYLOADS.task(task_pb2.Task(task_id=7, name="greet", status=task_pb2.Task.completed, **given))
    assert (read.task_data, read.result) == (DATA, {"a": [1]})
    template = schedule_pb2.TaskTemplate(name="greet", task_data=struct(Kind.TASK_DATA, DATA))
    assert PAYLOADS.schedule(schedule_pb2.Schedule(task=template)).task.task_data == DATA


def test_payloads_that_are_not_encrypted_are_returned_as_they_are() -> None:
    read = PAYLOADS.task(
        task_pb2.Task(name="greet", status=task_pb2.Task.pending, task_data=payload.to_struct(DATA, "task_data"))
    )
    assert (read.task_data, read.result) == (DATA, None)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"task_data": struct(Kind.TASK_DATA, DATA, "wave")}, "task_data cannot be decrypted: it was not encrypted as"),
        ({"task_data": struct(Kind.RESULT, DATA)}, "task_data cannot be decrypted: it was not encrypted as"),
        ({"result": struct(Kind.TASK_DATA, DATA)}, "result cannot be decrypted: it was not encrypted as result of"),
        ({"result": payload.to_struct({"$enc": 1}, "")}, r"result cannot be decrypted: it is not an encrypted payload"),
    ],
)
def test_reading_what_cannot_be_decrypted_fails_and_changing_it_does_not(message: dict[str, Any], problem: str) -> None:
    found = task_pb2.Task(task_id=7, name="greet", status=task_pb2.Task.cancelled, **message)
    with pytest.raises(errors.DecryptionFailed, match=f"^task 7: {problem}") as failed:
        PAYLOADS.task(found)
    assert failed.value.reason == "DECRYPTION_FAILED"
    lenient = PAYLOADS.task(found, is_lenient=True)
    assert "$enc" in {**lenient.task_data, **(lenient.result or {})}


def test_a_codec_of_another_kind_is_a_type_error() -> None:
    for client in (duetime_client.Client, duetime_client.AsyncClient):
        with pytest.raises(TypeError, match=r"^codec must be a PayloadCodec, not str$"):
            client(codec="a")  # type: ignore[arg-type]
