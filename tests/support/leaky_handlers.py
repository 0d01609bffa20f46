"""Handlers that try to show the secrets they get, wherever a worker writes."""

import base64
import dataclasses
import json
import logging
import urllib.parse
from typing import Any

import pydantic
import structlog

from duetime_worker import Fail, Retry, Task, handler


class Login(pydantic.BaseModel):
    """A typed task_data, to which no secret fits."""

    secret: int


@handler("leak")
async def leak(run: Task) -> dict[str, Any]:
    """Shows its secret in the way that it is given."""
    secret, basic = str(run.task_data["secret"]), f"ada:{run.task_data['secret']}"
    match run.task_data["how"]:
        case "result":
            return {"shown": [secret, {secret: json.dumps({"a": secret})}], "in a URL": urllib.parse.quote(basic)}
        case "error":
            raise ValueError(f"cannot log in as {basic}")
        case "chain":
            try:
                raise KeyError(secret)
            except KeyError as error:
                raise RuntimeError("cannot log in") from error
        case "retry":
            raise Retry(f"{basic} is refused")
        case "fail":
            raise Fail(base64.b64encode(basic.encode()).decode())
        case "repr":
            raise ValueError(f"{run!r} {run.task_data!r} {dataclasses.asdict(run)}")
        case "structlog":
            structlog.get_logger().warning("logging in", secret=secret, data={"a": [secret]})
        case "logging":
            logging.getLogger("smtp").warning("logging in as %s", basic)
    return {}


@handler("leak from a thread")
def leak_from_a_thread(run: Task) -> None:
    """Raises its secret in a plain function."""
    raise ValueError(run.task_data)


@handler("log in")
async def log_in(login: Login) -> None:
    """Takes what is no secret."""


@handler("length")
async def length(run: Task) -> dict[str, Any]:
    """Returns how many characters its secret has."""
    return {"length": len(run.task_data["secret"])}
