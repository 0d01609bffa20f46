"""Cursors of watches of all."""

import pytest

from duetime_core.model import errors
from duetime_core.model.snapshot import Position
from duetime_server.rpc import tokens
from duetime_server.watch import cursors

POSITION = Position.parse("10:20:10,15;11:22:;7")


def test_a_cursor_resumes_where_it_was_returned() -> None:
    given = cursors.Cursors("all", "here")
    assert given.read(given.write(POSITION)) == POSITION


def test_a_cursor_of_another_database_is_refused() -> None:
    cursor = cursors.Cursors("all", "elsewhere").write(POSITION)
    with pytest.raises(errors.InvalidArgument, match="cursor: must come from a watch of this database"):
        cursors.Cursors("all", "here").read(cursor)


def test_a_cursor_of_another_filter_is_refused() -> None:
    cursor = cursors.Cursors("some", "here").write(POSITION)
    with pytest.raises(errors.InvalidArgument, match="cursor: belongs to another request"):
        cursors.Cursors("all", "here").read(cursor)


@pytest.mark.parametrize("value", [None, 7, "10:20:", [], ["here"], ["here", 7], ["here", "x"], [7, "10:20:"]])
def test_a_forged_cursor_is_refused(value: object) -> None:
    with pytest.raises(errors.InvalidArgument, match="cursor: must be a value that the server returned"):
        cursors.Cursors("all", "here").read(tokens.encode("all", value))
