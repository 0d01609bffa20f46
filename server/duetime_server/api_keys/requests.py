"""Reads requests about API keys. All raise InvalidArgument."""

import datetime
from collections.abc import Sequence

from duetime.v1 import key_service_pb2
from duetime_core.model import access, api_key
from duetime_server.rpc import fields, violations

MAX_NAMES = 100
_SHORTEST_LIFETIME = datetime.timedelta(minutes=1)
_LONGEST_LIFETIME = datetime.timedelta(days=3_650)
_LONGEST_OVERLAP = datetime.timedelta(days=30)


def key_id(value: str) -> str:
    """Returns the id of a key."""
    if not api_key.is_id(value):
        # It is not quoted: it may be a whole key.
        raise violations.refuse("key_id", "must be the 12 digits and letters after 'dt_', without the secret")
    return value


def grant(request: key_service_pb2.CreateKeyRequest) -> tuple[api_key.Grant, datetime.timedelta | None]:
    """Reads what a new key permits, and for how long; None means that it never expires."""
    problems = violations.Violations()
    read = api_key.grant(
        fields.name(request.name, problems, what="what the key is for"),
        _role(request, problems),
        may_read_payloads=request.may_read_payloads,
        handlers=_handlers(request.handlers, problems),
        queues=_queues(request.queues, problems),
    )
    lifetime = _lifetime(request, problems)
    problems.check()
    return read, lifetime


def overlap(request: key_service_pb2.RotateKeyRequest) -> datetime.timedelta:
    """Reads how long a key is accepted after it was rotated."""
    if not request.HasField("overlap"):
        return api_key.DEFAULT_OVERLAP
    problems = violations.Violations()
    read = fields.period(request.overlap, "overlap", problems, longest=_LONGEST_OVERLAP)
    problems.check()
    return read


def _role(request: key_service_pb2.CreateKeyRequest, problems: violations.Violations) -> access.Role:
    if not request.role:
        problems.add("role", f"is required: one of {', '.join(access.Role)}")
    return fields.choice(request, "role", access.Role.VIEWER, problems)


def _lifetime(request: key_service_pb2.CreateKeyRequest, problems: violations.Violations) -> datetime.timedelta | None:
    if not request.HasField("expires_in"):
        return None if request.never_expires else api_key.DEFAULT_LIFETIME
    if request.never_expires:
        problems.add("never_expires", "excludes expires_in: send one of them")
    return fields.period(
        request.expires_in, "expires_in", problems, longest=_LONGEST_LIFETIME, shortest=_SHORTEST_LIFETIME
    )


def _handlers(names: Sequence[str], problems: violations.Violations) -> Sequence[str]:
    for number, name in enumerate(_few(names, "handlers", problems)):
        if name.strip():
            fields.check_text(name, f"handlers[{number}]", fields.MAX_NAME_CHARACTERS, problems)
        else:
            problems.add(f"handlers[{number}]", "must be the name of a handler; leave handlers out to permit all")
    return names


def _queues(names: Sequence[str], problems: violations.Violations) -> Sequence[str]:
    for number, name in enumerate(_few(names, "queues", problems)):
        fields.queue(name, problems, field=f"queues[{number}]")
    return names


def _few(names: Sequence[str], field: str, problems: violations.Violations) -> Sequence[str]:
    if len(names) > MAX_NAMES:
        problems.add(field, f"must have at most {MAX_NAMES} names; it has {len(names)}")
    return names[:MAX_NAMES]
