"""Reading requests about API keys."""

import datetime
from typing import Any

import pytest
from google.protobuf import duration_pb2

from duetime.v1 import key_pb2, key_service_pb2
from duetime_core.model import access, api_key, errors
from duetime_server.api_keys import requests

ROLE = key_pb2.ApiKey.Role


def grant(**fields: Any) -> tuple[api_key.Grant, datetime.timedelta | None]:
    given = {"name": "ci", "role": ROLE.operator, **fields}
    return requests.grant(key_service_pb2.CreateKeyRequest(**given))


def test_a_key_without_limits_is_for_all_and_expires_after_90_days() -> None:
    assert grant() == (api_key.Grant("ci", access.Role.OPERATOR), datetime.timedelta(days=90))


def test_a_key_is_limited_to_handlers_and_queues() -> None:
    read, _ = grant(handlers=["Send Email", "Greet"], queues=["mail"])
    assert (read.handlers, read.queues) == (frozenset({"Send Email", "Greet"}), frozenset({"mail"}))


@pytest.mark.parametrize("role", list(access.Role))
def test_who_may_create_any_work_may_read_payloads(role: access.Role) -> None:
    assert grant(role=ROLE.Value(role))[0].may_read_payloads == (role in (access.Role.EDITOR, access.Role.ADMIN))
    assert grant(role=ROLE.Value(role), may_read_payloads=True)[0].may_read_payloads


def test_a_lifetime_is_given_or_none() -> None:
    assert grant(expires_in=duration_pb2.Duration(seconds=60))[1] == datetime.timedelta(minutes=1)
    assert grant(never_expires=True)[1] is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": " "}, "name: is required: what the key is for"),
        ({"name": "a\nb"}, "name: must not contain control characters"),
        ({"role": 0}, "role: is required: one of submitter, viewer, operator, editor, admin"),
        ({"role": 99}, "role: must be one of submitter, viewer, operator, editor, admin, not 99"),
        ({"handlers": ["Greet", ""]}, r"handlers\[1\]: must be the name of a handler; leave handlers out"),
        ({"handlers": ["x" * 256]}, r"handlers\[0\]: must be at most 255 characters"),
        ({"handlers": ["x"] * 101}, "handlers: must have at most 100 names; it has 101"),
        ({"queues": ["Mail"]}, r"queues\[0\]: must be 1 to 100 characters of a-z"),
        ({"queues": [""]}, r"queues\[0\]: must be 1 to 100 characters of a-z"),
        ({"expires_in": duration_pb2.Duration()}, "expires_in: must be from 60 s to 3650 days, not 0 s"),
        ({"expires_in": duration_pb2.Duration(seconds=-60)}, "expires_in: must be from 60 s to 3650 days"),
        (
            {"expires_in": duration_pb2.Duration(seconds=60), "never_expires": True},
            "never_expires: excludes expires_in",
        ),
    ],
    ids=str,
)
def test_what_no_key_can_be_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=problem):
        grant(**fields)


def test_an_id_is_checked_and_a_whole_key_is_not_quoted() -> None:
    token = api_key.Token.create()
    assert requests.key_id(token.key_id) == token.key_id
    with pytest.raises(errors.InvalidArgument, match="key_id: must be the 12 digits and letters") as refused:
        requests.key_id(token.write())
    assert token.secret not in str(refused.value)


def test_an_overlap_is_a_day_unless_it_is_given() -> None:
    request = key_service_pb2.RotateKeyRequest(key_id="a" * 12)
    assert requests.overlap(request) == datetime.timedelta(days=1)
    request.overlap.SetInParent()
    assert requests.overlap(request) == datetime.timedelta(0)
    request.overlap.seconds = 31 * 86_400
    with pytest.raises(errors.InvalidArgument, match="overlap: must be from 0 s to 30 days, not"):
        requests.overlap(request)
