"""docs/api.md lists every call with its REST paths and filters, and every reason of an error."""

import re
from collections.abc import Iterator

from google.api import annotations_pb2
from google.protobuf import descriptor

from duetime_core.model import errors
from tests.support import fields, pages

PAGE = (pages.ROOT / "docs/api.md").read_text()
ROWS = {
    name: row
    for row in re.findall(r"^\| [A-Z][a-z]+[A-Z].*$", PAGE, re.MULTILINE)
    for name in row.split("|")[1].strip().split(", ")
}
"""The row of each call."""

UNFILTERED = {"page_size", "page_token", "order_by", "cursor"}


def calls() -> Iterator[descriptor.MethodDescriptor]:
    for service in fields.SERVICES:
        yield from service.methods


def reasons(error: type[errors.DuetimeError]) -> Iterator[str]:
    yield error.reason
    for each in error.__subclasses__():
        yield from reasons(each)


def test_the_page_lists_every_call() -> None:
    assert {call.name for call in calls()} == ROWS.keys()


def test_a_call_has_its_verbs_and_paths() -> None:
    for call in calls():
        http = call.GetOptions().Extensions[annotations_pb2.http]
        for rule in (http, *http.additional_bindings):
            verb = rule.WhichOneof("pattern")
            path = getattr(rule, verb)
            resource, _, action = path.removeprefix("/api/").partition(":")
            row = ROWS[call.name]
            assert verb.upper() in row, call.name
            assert resource in row, call.name
            assert f":{action}" in row if action else True, call.name


def test_a_list_and_a_watch_of_all_have_their_filters() -> None:
    for name in ("ListTasks", "WatchTasks", "ListSchedules"):
        (call,) = (each for each in calls() if each.name == name)
        for field in call.input_type.fields:
            if field.name not in UNFILTERED:
                assert f"`{field.name}`" in ROWS[name], f"{name}: {field.name}"


def test_every_reason_of_an_error_is_explained() -> None:
    never_sent = {errors.LogBusy.reason, errors.QueueBusy.reason}
    assert set(reasons(errors.DuetimeError)) - set(re.findall(r"`([A-Z_]+)`", PAGE)) == never_sent
