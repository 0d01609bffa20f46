"""Audit events as protobuf."""

import datetime

from duetime.v1 import audit_pb2
from duetime_core.model import audit
from duetime_server.audit import messages

NOW = datetime.datetime(2026, 11, 28, 8, tzinfo=datetime.UTC)


def test_every_kind_is_one_of_the_contract_and_the_other_way_round() -> None:
    names = {value.name for value in audit_pb2.AuditEvent.Kind.DESCRIPTOR.values if value.number}
    assert names == set(audit.Kind)


def test_what_is_not_known_is_empty() -> None:
    event = messages.from_event(audit.Event(1, "key_created", NOW, NOW, 7, None, None, None, None, None))
    assert (event.calls, event.kind) == (7, audit_pb2.AuditEvent.Kind.key_created)
    assert (event.actor, event.address, event.key_id, event.method, event.reason) == ("", "", "", "", "")
