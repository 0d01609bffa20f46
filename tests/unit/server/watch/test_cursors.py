"""Cursors of watches of all."""

import pytest

from duetime_core.model import errors
from duetime_core.model.snapshot import Position
from duetime_server.rpc import tokens
from duetime_server.watch import cursors

HISTORY = "0f2c6f4a-5d1e-4c43-9f0e-1a2b3c4d5e6f"
POSITION = Position.parse(f"{HISTORY};21.6.1764259200000000;10:20:10,15;11:22:;7;9")


def test_a_cursor_resumes_where_it_was_returned() -> None:
    given = cursors.Cursors("all")
    assert given.read(given.write(POSITION)) == POSITION


def test_a_cursor_of_the_release_before_is_refused_with_the_reason() -> None:
    cursor = tokens.encode("all", ["7381/5", "10:20:10,15;11:22:;7"])
    with pytest.raises(errors.InvalidArgument, match="cursor: is of a release that did not know of failovers"):
        cursors.Cursors("all").read(cursor)


def test_a_cursor_is_short_enough_for_a_header_and_a_url() -> None:
    ordinary = Position.parse(
        f"{HISTORY};812345678.4812345678.1764259200000000;812345670:812345679:812345670;"
        "812345690:812345699:812345690;4812345678;4812345999"
    )
    assert len(cursors.Cursors("all").write(ordinary)) < 300


def test_a_cursor_of_another_filter_is_refused() -> None:
    cursor = cursors.Cursors("some").write(POSITION)
    with pytest.raises(errors.InvalidArgument, match="cursor: belongs to another request"):
        cursors.Cursors("all").read(cursor)


@pytest.mark.parametrize(
    "value", [None, 7, "10:20:", f"{HISTORY};1.1.1", "x;1.1.1;10:20:", [], ["here"], ["here", 7], [7, "10:20:"]]
)
def test_a_forged_cursor_is_refused(value: object) -> None:
    with pytest.raises(errors.InvalidArgument, match="cursor: must be a value that the server returned"):
        cursors.Cursors("all").read(tokens.encode("all", value))
