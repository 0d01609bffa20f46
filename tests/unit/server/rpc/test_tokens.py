"""Page tokens and cursors are read by the request that they belong to, and by no other."""

import base64
import datetime

import pytest

from duetime_core.model import errors, task
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.tasks import page as task_page
from duetime_server.rpc import tokens
from duetime_server.tasks import filters

SCOPE = ("ListQueues",)


def forged(value: object) -> str:
    return tokens.encode(SCOPE, value)


def test_a_token_returns_its_value() -> None:
    value = [7, "mail"]
    assert tokens.decode("page_token", tokens.encode(SCOPE, value), SCOPE) == value
    assert tokens.number(forged(7), SCOPE) == 7
    assert tokens.name(forged("mail"), SCOPE) == "mail"


def test_no_token_is_the_first_page() -> None:
    assert (tokens.number("", SCOPE), tokens.name("", SCOPE)) == (0, "")


def test_the_token_of_the_following_page_has_the_last_key_of_a_full_one() -> None:
    assert tokens.number(tokens.following(SCOPE, [3, 5, 8], 2), SCOPE) == 5
    assert tokens.following(SCOPE, [3, 5], 2) == tokens.following(SCOPE, [], 2) == ""


def test_a_token_of_another_request_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="page_token: belongs to another request"):
        tokens.number(tokens.encode(("ListWorkers",), 7), SCOPE)


@pytest.mark.parametrize("token", ["?", "é", "bm9uc2Vuc2U", base64.urlsafe_b64encode(b"[1]").decode(), "A" * 40_000])
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"page_token: {tokens.UNKNOWN}"):
        tokens.decode("page_token", token, SCOPE)


@pytest.mark.parametrize("value", ["7", True, None, [7]])
def test_a_forged_value_is_no_number(value: object) -> None:
    with pytest.raises(errors.InvalidArgument):
        tokens.number(forged(value), SCOPE)


@pytest.mark.parametrize("value", [7, "a\0b", None])
def test_a_forged_value_is_no_name(value: object) -> None:
    with pytest.raises(errors.InvalidArgument):
        tokens.name(forged(value), SCOPE)


STATUSES = (task.Status.PENDING, task.Status.FAILED)
SCOPES = {
    "all tasks": (("ListTasks", *tokens.filters(task_page.Filter()), "task_id"), "e2b4a0ed"),
    "some tasks": (
        (
            "ListTasks",
            *tokens.filters(
                task_page.Filter(STATUSES, "mail", "n", datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC))
            ),
            "task_id",
        ),
        "856c3f56",
    ),
    "all changes": (("WatchTasks", *tokens.filters(filters.WatchFilter())), "bb80dd27"),
    "some changes": (("WatchTasks", *tokens.filters(filters.WatchFilter(STATUSES, "mail", "n"))), "2fa97d7c"),
    "some schedules": (("ListSchedules", *tokens.filters(schedule_page.Filter("n", is_paused=False))), "3c437604"),
}


@pytest.mark.parametrize("which", SCOPES)
def test_a_token_or_cursor_is_valid_in_every_release(which: str) -> None:
    scope, digest = SCOPES[which]
    assert tokens._digest(scope) == digest
