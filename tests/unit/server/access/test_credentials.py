"""One API key, in one header, once."""

import pytest

from duetime_core.model import errors
from duetime_server.access import credentials


@pytest.mark.parametrize("header", ["Bearer dt_a_b_c", "bearer dt_a_b_c", "BEARER   dt_a_b_c"])
def test_the_token_follows_the_scheme_in_any_case(header: str) -> None:
    assert credentials.token([("user-agent", "x"), ("authorization", header)]) == "dt_a_b_c"


def test_a_call_without_credentials_gets_the_form_to_send() -> None:
    with pytest.raises(errors.Unauthenticated, match="authorization: Bearer dt_") as caught:
        credentials.token([("user-agent", "x")])
    assert caught.value.reason == "CREDENTIALS_MISSING"


SECRET = "hunter2"
INVALID: list[list[tuple[str, str | bytes]]] = [
    [("authorization", "")],
    [("authorization", "Bearer")],
    [("authorization", "Bearer ")],
    [("authorization", f"Basic {SECRET}")],
    [("authorization", SECRET)],
    [("authorization", f"Bearer {SECRET} {SECRET}")],
    [("authorization", f"Bearer {SECRET},Bearer {SECRET}")],
    [("authorization", f"Bearer {SECRET}\n")],
    [("authorization", f"Bearer {SECRET * 10_000}")],
    [("authorization", f"Bearer {SECRET}".encode())],
    [("authorization", f"Bearer {SECRET}"), ("authorization", f"Bearer {SECRET}")],
    [("authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET)],
    [("authorization", f"Bearer {SECRET}"), ("x-forwarded-client-cert", SECRET)],
    [("x-api-key", SECRET)],
]


@pytest.mark.parametrize("metadata", INVALID, ids=range(len(INVALID)))
def test_anything_else_is_refused_and_not_quoted(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(errors.CredentialsInvalid) as caught:
        credentials.token(metadata)
    assert SECRET not in caught.value.message
