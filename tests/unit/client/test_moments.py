"""Times and durations at the limits of protobuf and Python."""

import datetime
import json
from typing import Any

import hypothesis
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from hypothesis import strategies

import duetime_client
from duetime_client import moment
from duetime_client.cli import json_shape

FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)

int64 = strategies.integers(-(2**63), 2**63 - 1)
nanos = strategies.integers(-999_999_999, 999_999_999)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.datetimes(timezones=strategies.timezones(no_cache=True)))
@hypothesis.example(FIRST)
@hypothesis.example(LAST)
def test_every_time_is_sent_exactly_or_refused_with_its_field(value: datetime.datetime) -> None:
    is_near_an_end = not FIRST + DAY < value.replace(tzinfo=datetime.UTC) < LAST - DAY
    try:
        sent = moment.to_timestamp(value, "execution_time")
    except duetime_client.InvalidArgument as error:
        refusal = str(error)
    else:
        assert moment.from_timestamp(sent) == value.astimezone(datetime.UTC)
        return
    assert (refusal, is_near_an_end) == ("execution_time: must be from year 1 to 9999, in UTC", True)


@hypothesis.settings(deadline=None)
@hypothesis.given(int64, nanos)
@hypothesis.example(-62_135_596_801, 0)
@hypothesis.example(253_402_300_799, 999_999_999)
@hypothesis.example(253_402_300_800, 0)
def test_every_timestamp_is_read_and_printed(seconds: int, nanoseconds: int) -> None:
    read = moment.from_timestamp(timestamp_pb2.Timestamp(seconds=seconds, nanos=nanoseconds))
    if seconds < -62_135_596_801:
        assert read == FIRST
    elif seconds > 253_402_300_800:
        assert read == LAST
    else:
        assert abs(read.timestamp() - seconds) < 2
    assert json.loads(json_shape.text(read)).endswith("Z")


@hypothesis.settings(deadline=None)
@hypothesis.given(int64, nanos)
@hypothesis.example(2**63 - 1, 999_999_999)
@hypothesis.example(-(2**63), 0)
def test_every_duration_is_read_and_printed(seconds: int, nanoseconds: int) -> None:
    message = duration_pb2.Duration(seconds=seconds, nanos=nanoseconds)
    read = moment.from_duration(message)
    printed = json.loads(json_shape.text(read))
    if abs(seconds) < 315_576_000_000 and seconds * nanoseconds >= 0:
        assert read == message.ToTimedelta()
        message.FromTimedelta(read)
        assert printed == message.ToJsonString()
    assert printed.endswith("s")


@pytest.mark.parametrize("value", [datetime.timedelta.max, datetime.timedelta.min])
def test_duration_too_long_for_protobuf_is_refused_with_its_field(value: datetime.timedelta) -> None:
    with pytest.raises(duetime_client.InvalidArgument, match=r"^timeout: must be at most 3,652,500 days, not"):
        moment.to_duration(value, "timeout")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        ({"a": (1, None)}, '{"a": [1, null]}'),
        ("ü\x7f\x9b\u202e\u2028\U0001f600", '"ü\\u007f\\u009b\\u202e\\u2028\U0001f600"'),
        ("\x1b]0;x\x07\r\n", '"\\u001b]0;x\\u0007\\r\\n"'),
    ],
)
def test_json_contains_no_control_characters(value: Any, text: str) -> None:
    assert json_shape.text(value) == text
    json.loads(text)
    assert text.isprintable()
