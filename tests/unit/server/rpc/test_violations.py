"""An error fits into the trailers, however many fields are invalid and however long they are."""

import urllib.parse

import pytest
from google.rpc import error_details_pb2

from duetime_core.model import errors
from duetime_server.rpc import violations

FILLINGS = {"ASCII": "A", "two bytes": "ü", "four bytes": "\U0001f600", "control": "\x1b", "percent": "%"}


def trailers(error: errors.InvalidArgument) -> int:
    """Returns about how many bytes the error takes in the trailers."""
    found = [
        error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description, reason=error.reason)
        for each in error.violations
    ]
    details = error_details_pb2.BadRequest(field_violations=found).ByteSize() + len(error.message.encode()) + 200
    return len(urllib.parse.quote(error.message)) + int(details) * 4 // 3


def refused(problems: violations.Violations) -> errors.InvalidArgument:
    with pytest.raises(errors.InvalidArgument) as raised:
        problems.check()
    return raised.value


@pytest.mark.parametrize("filling", FILLINGS)
def test_an_added_description_is_shortened_whichever_argument_quotes_it(filling: str) -> None:
    long = FILLINGS[filling] * 200_000
    problems = violations.Violations()
    with problems.within(f"requests[{long}]."):
        problems.add(long, f"{long!r} is not one of these: a, b")
    error = refused(problems)
    assert error.message.endswith("is not one of these: a, b")
    assert error.message.isprintable()
    assert trailers(error) < 7_000
    assert trailers(violations.refuse(long, long)) < 7_000


@pytest.mark.parametrize("filling", FILLINGS)
def test_many_wrong_fields_are_counted_and_the_first_are_named(filling: str) -> None:
    problems = violations.Violations()
    for number in range(5_000):
        problems.add(f"requests[{number}].{FILLINGS[filling] * 50}", "must be something else")
    error = refused(problems)
    assert trailers(error) < 7_000
    assert len(error.violations) > 1
    assert error.message.endswith(f"; and {5_000 - len(error.violations)} more")


def test_one_invalid_field_is_returned_unchanged() -> None:
    problems = violations.Violations()
    problems.add("name", "is required")
    problems.add("name", "is required")
    assert refused(problems).message == "name: is required"


def test_a_violation_without_a_field_begins_with_its_description() -> None:
    assert violations.refuse("", "the request is not valid").message == "the request is not valid"
