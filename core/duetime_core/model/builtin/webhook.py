"""The calls that Call Webhook makes, as task_data describes them."""

import base64
import json
import re
import urllib.parse
from typing import Annotated, Any, Literal, Self

import pydantic

from duetime_core.model import validation

MAX_FORM_FIELDS = 1000
MAX_HEADERS = 100
MAX_URL_CHARACTERS = 8000
"""The length that RFC 9110 (4.1) recommends all implementations to support."""
_SET_BY_THE_BODY = frozenset({"content-length", "transfer-encoding"})
_OF_THE_CONNECTION = frozenset({"connection", "expect", "http2-settings", "keep-alive", "te", "trailer", "upgrade"})
_OF_THE_SIGNATURE = "webhook-"
_BODIES = {"json_value": "json", "form": "form", "text": "text", "binary": "base64"}
"""Field of the model → of task_data."""


def _check_length(url: object) -> object:
    if isinstance(url, str | pydantic.AnyUrl) and len(str(url)) > MAX_URL_CHARACTERS:
        raise ValueError(f"must be at most {MAX_URL_CHARACTERS} characters long as it is sent; it has {len(str(url))}")
    return url


def _upper(method: object) -> object:
    return method.upper() if isinstance(method, str) else method


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("is not the name of a header")
    lower = name.lower()
    if lower in _SET_BY_THE_BODY:
        raise ValueError("is set by the body")
    if lower == "host":
        raise ValueError("is set by the URL")
    if lower in _OF_THE_CONNECTION or lower.startswith("proxy-"):
        raise ValueError("is about the connection, which is the worker's")
    if lower.replace("_", "-").startswith(_OF_THE_SIGNATURE):  # servers with CGI's names take one for the other
        raise ValueError("is of the signature, which is the worker's; choose a name that does not begin with webhook-")
    return name


def _check_value(value: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e]*", value):
        raise ValueError("must be printable ASCII, on one line")
    return value.strip()


def _check_names(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name in headers:
        if name.lower() in seen:
            raise ValueError(f"has {name} twice: case makes no difference")
        seen.add(name.lower())
    return headers


def _to_texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | bool | int | float) for each in values):
        raise ValueError("must be text, a number, true or false, or a list of these")
    return [each if isinstance(each, str) else json.dumps(each) for each in values]


def _to_bytes(value: object) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except ValueError:
        pass
    raise ValueError("must be base64 (RFC 4648, 4) with its padding, in one line")


class Webhook(pydantic.BaseModel, extra="forbid"):
    """The task_data of Call Webhook: a request, with at most one body."""

    url: Annotated[
        pydantic.AnyUrl,
        pydantic.UrlConstraints(allowed_schemes=["http", "https"], host_required=True),
        pydantic.BeforeValidator(_check_length),
        pydantic.AfterValidator(_check_length),  # non-ASCII characters become longer
    ]
    method: Annotated[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], pydantic.BeforeValidator(_upper)] = (
        "POST"
    )
    headers: Annotated[
        dict[
            Annotated[str, pydantic.AfterValidator(_check_name)], Annotated[str, pydantic.AfterValidator(_check_value)]
        ],
        validation.at_most(MAX_HEADERS),
        pydantic.AfterValidator(_check_names),
    ] = {}
    json_value: Annotated[Any, pydantic.Field(alias="json")] = None
    form: Annotated[
        dict[str, Annotated[list[str], pydantic.PlainValidator(_to_texts)]], validation.at_most(MAX_FORM_FIELDS)
    ] = {}
    text: str = ""
    binary: Annotated[bytes, pydantic.PlainValidator(_to_bytes), pydantic.Field(alias="base64")] = b""

    @pydantic.model_validator(mode="after")
    def _check_body(self) -> Self:
        given = [name for field, name in _BODIES.items() if field in self.model_fields_set]
        if len(given) > 1:
            raise ValueError(f"has {len(given)} bodies, {' and '.join(given)}: a request has one")
        return self

    def body(self) -> tuple[str, bytes] | None:
        """Returns the body's media type, unless the headers have one, and the body: None for none, unlike `null`."""
        given = self.model_fields_set & _BODIES.keys()
        if "json_value" in given:
            return "application/json", json.dumps(self.json_value, ensure_ascii=False, separators=(",", ":")).encode()
        if "form" in given:
            return "application/x-www-form-urlencoded", urllib.parse.urlencode(self.form, doseq=True).encode()
        if "text" in given:
            return "text/plain; charset=utf-8", self.text.encode()
        return ("application/octet-stream", self.binary) if given else None
