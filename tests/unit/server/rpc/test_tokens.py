"""Page tokens and cursors are read by the request that they belong to, and by no other."""

import base64

import pytest

from duetime_core.model import errors
from duetime_server.rpc import tokens

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
