"""Encrypts the payloads of requests, and decrypts those of responses, if the client has a codec."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from google.protobuf import message as protobuf_message

import duetime_payloads
from duetime.v1 import schedule_pb2, task_pb2, task_service_pb2
from duetime_client import errors, payload, response, schedule, schedule_messages, task

_Message = TypeVar("_Message", bound=protobuf_message.Message)

MAX_BYTES = 256 * 1024
"""Of task_data as the server stores it: encrypted, and in base64."""
_BOUND = frozenset({"name", "task_data"})


class Payloads:
    """The payloads of a client with this codec; without one they are sent and returned as they are."""

    def __init__(self, codec: duetime_payloads.PayloadCodec | None) -> None:
        if codec is not None and not isinstance(codec, duetime_payloads.PayloadCodec):
            raise TypeError(f"codec must be a PayloadCodec, not {type(codec).__name__}")
        self._codec = codec

    def sealed(self, message: _Message, prefix: str = "", *, request_id: str | None = None) -> _Message:
        """Returns the message with its task_data, even none, encrypted for the handler of its name.

        Raises InvalidArgument, with `prefix` before the field, if it is too large then.
        """
        if self._codec is None:
            return message
        fields: Any = message
        encrypted = self._codec.encrypt(
            payload.from_struct(fields.task_data),
            kind=duetime_payloads.Kind.TASK_DATA,
            handler=fields.name,
            request_id=request_id,
        )
        if len(json.dumps(encrypted)) > MAX_BYTES:
            raise errors.invalid(
                f"{prefix}task_data",
                f"must be at most {MAX_BYTES // 1024} KiB encrypted, which is about 191 KiB before, as JSON",
            )
        fields.task_data.Clear()
        fields.task_data.update(encrypted)
        return message

    def sealed_update(self, message: task_service_pb2.UpdateTaskRequest) -> task_service_pb2.UpdateTaskRequest:
        """Returns the message as `sealed` does; raises InvalidArgument if it changes only one of name and task_data."""
        given = _BOUND.intersection(message.update_mask.paths)
        if self._codec is None or not given:
            return message
        for missing in _BOUND - given:
            (other,) = given
            raise errors.invalid(
                missing, f"must be given with {other}: task_data is encrypted for the handler of that name"
            )
        return self.sealed(message)

    def task(self, message: task_pb2.Task, *, is_lenient: bool = False) -> task.Task:
        """Returns the message as a Task, decrypted. Raises DecryptionFailed.

        The answer to a change that was made is lenient: it has what cannot be decrypted as it is stored.
        """
        found = response.to_task(message)
        if self._codec is None:
            return found
        where = f"task {found.task_id}: "
        task_data, result = (
            self._opened(value, kind, found.name, where, is_lenient=is_lenient)
            for kind, value in (
                (duetime_payloads.Kind.TASK_DATA, found.task_data),
                (duetime_payloads.Kind.RESULT, found.result),
            )
        )
        assert task_data is not None
        return dataclasses.replace(found, task_data=task_data, result=result)

    def schedule(self, message: schedule_pb2.Schedule, *, is_lenient: bool = False) -> schedule.Schedule:
        """Returns the message as a Schedule, decrypted; raises and returns what `task` does."""
        found = schedule_messages.to_schedule(message)
        if self._codec is None:
            return found
        task_data = self._opened(
            dict(found.task.task_data or {}),
            duetime_payloads.Kind.TASK_DATA,
            found.task.name,
            f"schedule {found.schedule_id}: ",
            is_lenient=is_lenient,
        )
        return dataclasses.replace(found, task=dataclasses.replace(found.task, task_data=task_data))

    def _opened(
        self,
        value: dict[str, Any] | None,
        kind: duetime_payloads.Kind,
        handler: str,
        where: str,
        *,
        is_lenient: bool,
    ) -> dict[str, Any] | None:
        if self._codec is None or value is None or not duetime_payloads.is_encrypted(value):
            return value
        try:
            return self._codec.decrypt(value, kind=kind, handler=handler)
        except duetime_payloads.DecryptionFailed as error:
            if is_lenient:
                return value
            raise errors.DecryptionFailed(f"{where}{kind} cannot be decrypted: {error}") from None
