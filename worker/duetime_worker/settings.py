"""The worker's settings."""

import datetime
import urllib.parse
from typing import Annotated, Literal

import pydantic
import pydantic_settings

from duetime_core.model import task
from duetime_core.model.builtin import addresses
from duetime_core.process import settings
from duetime_worker.egress import rule


def _entries(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _split(value: object) -> object:
    return _entries(value) if isinstance(value, str) else value


Names = Annotated[list[str], pydantic_settings.NoDecode, pydantic.BeforeValidator(_split)]
"""Several names, in one variable separated by commas."""


def _check_address(text: str) -> str:
    addresses.parse_sender(text)
    return text


class Smtp(settings.Variables):
    """The mail server that Send Email hands its mails to."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="DUETIME_SMTP_", env_ignore_empty=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """A host, or `unix:/path` for a server at a unix socket."""
    port: Annotated[int, pydantic.Field(ge=1, le=65535)] | None = None
    """What is usual for `tls` if it is not given: 25, 587 for starttls, 465 for tls."""
    tls: Literal["none", "starttls", "tls"] = "none"
    username: str | None = None
    """Logs in with it, and with the password, if it is given."""
    password: pydantic.SecretStr | None = None
    sender: Annotated[str, pydantic.AfterValidator(_check_address)] = "duetime@localhost"
    """An address, or a name and an address: `Duetime <duetime@example.com>`."""

    @property
    def socket_path(self) -> str | None:
        """The unix socket, if it is one."""
        return self.host.removeprefix("unix:") if self.host.startswith("unix:") else None


def _parse_rules(value: object) -> object:
    return [rule.Rule.parse(entry) for entry in _entries(value)] if isinstance(value, str) else value


Rules = Annotated[list[rule.Rule], pydantic_settings.NoDecode, pydantic.BeforeValidator(_parse_rules)]
"""Destinations, in one variable separated by commas."""


def _check_proxy(url: pydantic.SecretStr) -> pydantic.SecretStr:
    try:
        parts = urllib.parse.urlsplit(url.get_secret_value())
        is_proxy = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose message quotes the URL
        is_proxy = False
    if not is_proxy:
        raise ValueError("must be the URL of an HTTP proxy, such as http://proxy.internal:3128")
    return url


class Egress(settings.Variables):
    """What tasks may make the worker connect to."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_EGRESS_", env_ignore_empty=True)

    allow: Rules = []
    """Besides the public internet at ports 80, 443 and from 1024 on."""
    deny: Rules = []
    """Although it is public or allowed."""
    proxy: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_check_proxy)] | None = None
    """An HTTP proxy for all calls, which then resolves the names and has to check their addresses."""


class Reports(settings.Variables):
    """Where Generate Report puts its reports."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_REPORT_", env_ignore_empty=True)

    directory: str = "reports"
    """A directory, or the URL of a place that fsspec knows, such as `s3://bucket/reports`."""


# At least an hour, so that a slip does not delete everything; at most what a database's time can lie back.
_Retention = Annotated[
    datetime.timedelta, pydantic.Field(ge=datetime.timedelta(hours=1), le=datetime.timedelta(days=36_500))
]


class Settings(settings.Settings):
    """What a worker needs to know besides."""

    handlers: Names = []
    """The user's modules with handlers."""
    queues: Names = [task.DEFAULT_QUEUE]
    """The queues that it serves."""
    concurrency: Annotated[int, pydantic.Field(ge=1)] = 100
    """How many tasks it runs at once."""
    lease: Annotated[datetime.timedelta, pydantic.Field(ge=datetime.timedelta(seconds=1))] = datetime.timedelta(
        seconds=15
    )
    """How long after its last sign of life a worker counts as lost."""
    grace_period: Annotated[datetime.timedelta, pydantic.Field(ge=datetime.timedelta(0))] = datetime.timedelta(
        seconds=20
    )
    """How long running tasks may go on after SIGTERM."""
    task_retention: _Retention = datetime.timedelta(days=30)
    """How long a finished task is kept after its last change."""
    log_retention: Annotated[_Retention, pydantic.Field(validate_default=True)] = datetime.timedelta(days=90)
    """How long a row of the log is kept; its month is dropped as a whole."""

    @pydantic.field_validator("log_retention")
    @classmethod
    def _check_log_retention(cls, kept: datetime.timedelta, info: pydantic.ValidationInfo) -> datetime.timedelta:
        tasks_kept = info.data.get("task_retention")  # None if that one is wrong itself
        if tasks_kept is not None and kept < tasks_kept:
            raise ValueError(f"must not be shorter than {settings.PREFIX}TASK_RETENTION, which is {tasks_kept}")
        return kept
