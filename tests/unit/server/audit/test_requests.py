"""Requests about audit events are checked."""

from typing import Any

import pytest

from duetime.v1 import audit_service_pb2
from duetime_core.model import audit, errors
from duetime_server.audit import requests

Request = audit_service_pb2.ListAuditEventsRequest


def test_a_request_without_filters_wants_all() -> None:
    assert requests.wanted(Request()) == audit.Filter()


def test_every_kind_can_be_wanted() -> None:
    for kind in audit.Kind:
        assert requests.wanted(Request(kind=kind.value)).kind is kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "field"),
    [({"kind": 99}, "kind"), ({"actor": ""}, "actor"), ({"actor": "x" * 513}, "actor"), ({"key_id": "dt_x"}, "key_id")],
)
def test_what_nothing_can_match_is_refused_with_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        requests.wanted(Request(**given))
    assert [each.field for each in refused.value.violations] == [field]
