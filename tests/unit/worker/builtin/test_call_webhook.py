"""Validation of Call Webhook's task_data."""

from typing import Any

import pytest

from duetime_core.model import builtin, validation

URL = "https://example.com/"
BODIES: dict[str, Any] = {"json": None, "form": {}, "text": "", "base64": ""}


def problem(**task_data: Any) -> str:
    """Returns the validation error."""
    with pytest.raises(validation.Invalid) as refused:
        validation.validate(builtin.Webhook, {"url": URL, **task_data})
    return str(refused.value)


@pytest.mark.parametrize("characters", [8000, 2084])
def test_a_url_may_have_8000_characters(characters: int) -> None:
    url = URL.ljust(characters, "x")
    assert str(validation.validate(builtin.Webhook, {"url": url}).url) == url


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        (URL.ljust(8001, "x"), "must be at most 8000 characters long as it is sent; it has 8001"),
        (URL + "x" * 100_000, "must be at most 8000 characters long as it is sent; it has 100020"),
        (URL + "é" * 2000, "must be at most 8000 characters long as it is sent; it has 12020"),
        ("ftp://example.com", "must be a URL such as https://example.com/path"),
        ("nonsense", "must be a URL such as https://example.com/path"),
        ("example.com", "must be a URL such as https://example.com/path"),
        ("", "must be a URL such as https://example.com/path"),
        (None, "must be a URL such as https://example.com/path"),
        ([], "must be a URL such as https://example.com/path"),
        ("http://[fe80::1%25eth0]/", "must be a URL such as https://example.com/path"),
    ],
)
def test_an_invalid_url_is_named(url: object, wrong: str) -> None:
    assert problem(url=url) == f"url: {wrong}"


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "keep-alive", "TE", "Trailer", "Upgrade", "Expect", "HTTP2-Settings", "Proxy-Authorization",
        "Proxy-Connection", "proxy-authenticate", "PROXY-anything",
    ],
)  # fmt: skip
def test_headers_of_the_connection_are_refused(name: str) -> None:
    assert problem(headers={name: "x"}) == f"headers.{name}: is about the connection, which is the worker's"


@pytest.mark.parametrize(
    "name", ["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "webhook_signature", "Webhook-X"]
)
def test_headers_of_the_signature_are_refused(name: str) -> None:
    wrong = "is of the signature, which is the worker's; choose a name that does not begin with webhook-"
    assert problem(headers={name: "x"}) == f"headers.{name}: {wrong}"


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"Host": "x"}, "headers.Host: is set by the URL"),
        ({"hOST": "x"}, "headers.hOST: is set by the URL"),
        ({"content-length": "1"}, "headers.content-length: is set by the body"),
        ({"Transfer-Encoding": "chunked"}, "headers.Transfer-Encoding: is set by the body"),
        ({"X Key": "x"}, "headers.X Key: is not the name of a header"),
        ({"X-Key:": "x"}, "headers.X-Key:: is not the name of a header"),
        ({"Connection ": "x"}, "headers.Connection : is not the name of a header"),
        ({"": "x"}, "headers.: is not the name of a header"),
        ({"X-Key": "secret\r\nX-Other: b"}, "headers.X-Key: must be printable ASCII, on one line"),
        ({"X-Key": "secret ü"}, "headers.X-Key: must be printable ASCII, on one line"),
        ({"X-Key": 7}, "headers.X-Key: must be text, not 7"),
        ({"X-Key": "a", "x-key": "b"}, "headers: has x-key twice: case makes no difference"),
        ({f"X-{number}": "a" for number in range(101)}, "headers: must have at most 100 items; it has 101"),
        (["X-Key"], "headers: must be an object, not a list"),
    ],
)
def test_other_invalid_headers_are_named(headers: Any, wrong: str) -> None:
    assert problem(headers=headers) == wrong


@pytest.mark.parametrize("first", BODIES)
@pytest.mark.parametrize("second", BODIES)
def test_a_request_has_one_body(first: str, second: str) -> None:
    given = {first: BODIES[first], second: BODIES[second]}
    if first == second:
        assert validation.validate(builtin.Webhook, {"url": URL, **given}).body() is not None
    else:
        named = " and ".join(name for name in BODIES if name in given)
        assert problem(**given) == f"has 2 bodies, {named}: a request has one"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"form": {"a": None}}, "form.a: must be text, a number, true or false, or a list of these"),
        ({"form": {"a": ["x", {}]}}, "form.a: must be text, a number, true or false, or a list of these"),
        ({"form": "a=b"}, "form: must be an object, not 'a=b'"),
        ({"form": None}, "form: must be an object, not null"),
        ({"form": {str(each): "" for each in range(1001)}}, "form: must have at most 1000 items; it has 1001"),
        ({"text": None}, "text: must be text, not null"),
        ({"text": {"a": 1}}, "text: must be text, not an object"),
        ({"base64": "AP8"}, "base64: must be base64 (RFC 4648, 4) with its padding, in one line"),
        ({"base64": "AP8K\n"}, "base64: must be base64 (RFC 4648, 4) with its padding, in one line"),
        ({"base64": "_-8="}, "base64: must be base64 (RFC 4648, 4) with its padding, in one line"),
        ({"base64": "é"}, "base64: must be base64 (RFC 4648, 4) with its padding, in one line"),
        ({"base64": 7}, "base64: must be base64 (RFC 4648, 4) with its padding, in one line"),
        ({"body": "x"}, "body: is not known; known are url, method, headers, json, form, text, base64"),
    ],
)
def test_an_invalid_body_is_named(body: dict[str, Any], wrong: str) -> None:
    assert problem(**body) == wrong


@pytest.mark.parametrize("method", ["BREW", "CONNECT", "TRACE", "", "get ", None, 7])
def test_an_unsupported_method_is_named(method: object) -> None:
    assert problem(method=method).startswith("method: must be 'GET', 'HEAD', 'POST', 'PUT', 'PATCH' or 'DELETE', not ")
