"""The calls that Call Webhook makes, as task_data describes them."""

import json
import re
from typing import Annotated, Any, Literal

import pydantic

from duetime_core import misfits

MAX_HEADERS = 100
_SET_BY_THE_BODY = frozenset({"content-length", "transfer-encoding"})


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("is not the name of a header")
    if name.lower() in _SET_BY_THE_BODY:
        raise ValueError("is set by the body")
    return name


def _check_value(value: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e]*", value):
        raise ValueError("must be printable ASCII, on one line")
    return value.strip()


class Webhook(pydantic.BaseModel, extra="forbid"):
    """The task_data of Call Webhook. `json`, if given, is sent as the body."""

    url: pydantic.HttpUrl
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Annotated[
        dict[
            Annotated[str, pydantic.AfterValidator(_check_name)], Annotated[str, pydantic.AfterValidator(_check_value)]
        ],
        misfits.at_most(MAX_HEADERS),
    ] = {}
    body: Annotated[Any, pydantic.Field(alias="json")] = None

    @property
    def content(self) -> bytes | None:
        """The body to send: None for none, which is not the same as `null`."""
        if "body" not in self.model_fields_set:
            return None
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
