"""The worker's settings."""

import datetime
import pathlib
import urllib.parse
from typing import Annotated, Literal

import pydantic
import pydantic_settings

import duetime_payloads
from duetime_core.model import task
from duetime_core.model.builtin import addresses
from duetime_core.process import settings
from duetime_worker import secret_store
from duetime_worker.builtin import signing
from duetime_worker.egress import rule


def _split(value: object) -> object:
    return settings.entries(value) if isinstance(value, str) else value


Names = Annotated[list[str], pydantic_settings.NoDecode, pydantic.BeforeValidator(_split)]
"""A comma-separated list of names."""


def _check_address(text: str) -> str:
    addresses.parse_sender(text)
    return text


class Smtp(settings.Variables):
    """The SMTP server of Send Email."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="DUETIME_SMTP_", env_ignore_empty=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """A host, or `unix:/path` for a unix socket."""
    port: Annotated[int, pydantic.Field(ge=1, le=65535)] | None = None
    """By default the usual port for `tls`: 25 for none, 587 for starttls, 465 for tls."""
    tls: Literal["none", "starttls", "tls"] = "none"
    username: str | None = None
    """If given, the worker logs in with it and the password."""
    password: pydantic.SecretStr | None = None
    sender: Annotated[str, pydantic.AfterValidator(_check_address)] = "duetime@localhost"
    """An address, or a name and an address: `Duetime <duetime@example.com>`."""

    @property
    def socket_path(self) -> str | None:
        """The path of the unix socket; None for a host."""
        return self.host.removeprefix("unix:") if self.host.startswith("unix:") else None


def _parse_rules(value: object) -> object:
    return [rule.Rule.parse(entry) for entry in settings.entries(value)] if isinstance(value, str) else value


Rules = Annotated[list[rule.Rule], pydantic_settings.NoDecode, pydantic.BeforeValidator(_parse_rules)]
"""A comma-separated list of destinations."""


def _check_proxy(url: pydantic.SecretStr) -> pydantic.SecretStr:
    try:
        parts = urllib.parse.urlsplit(url.get_secret_value())
        is_proxy = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message quotes the URL, which may contain a password
        is_proxy = False
    if not is_proxy:
        raise ValueError("must be the URL of an HTTP proxy, such as http://proxy.internal:3128")
    return url


class Egress(settings.Variables):
    """The egress policy: which destinations the built-in handlers may call."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_EGRESS_", env_ignore_empty=True)

    allow: Rules = []
    """Allowed in addition to the public internet at ports 80, 443 and 1024 to 65535."""
    deny: Rules = []
    """Denied even if public or allowed."""
    proxy: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_check_proxy)] | None = None
    """An HTTP proxy for all calls, which resolves the names and must itself check their addresses."""


def _read_secrets(path: object) -> object:
    return signing.read(path) if isinstance(path, str) else path


class Webhooks(settings.Variables):
    """The secrets that Call Webhook signs with. They are in no variable, which other programs may inherit or show."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_WEBHOOK_", env_ignore_empty=True)

    secrets_file: Annotated[pydantic.InstanceOf[signing.Signer], pydantic.BeforeValidator(_read_secrets)] | None = None
    """A file of origins and their secrets, as read when this is made. Calls to other origins are not signed."""


def _check_directory(path: pathlib.Path) -> pathlib.Path:
    if not path.is_dir():
        raise ValueError(f"must be a directory whose files are secrets; {path} is none")
    return path.absolute()  # a handler may change the current directory


def _parse_permissions(value: object) -> object:
    return (
        [secret_store.Permission.parse(each) for each in settings.entries(value)] if isinstance(value, str) else value
    )


class Secrets(settings.Variables):
    """The secrets that task_data may refer to."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="DUETIME_SECRETS_", env_ignore_empty=True, hide_input_in_errors=True
    )

    dir: Annotated[pathlib.Path, pydantic.AfterValidator(_check_directory)] | None = None
    """A directory with a file for each secret, which is read at each run."""
    allow: Annotated[
        list[secret_store.Permission], pydantic_settings.NoDecode, pydantic.BeforeValidator(_parse_permissions)
    ] = []
    """Which handlers' tasks may refer to which secrets."""

    def store(self) -> secret_store.SecretStore:
        """Returns the store of these secrets."""
        return secret_store.SecretStore(self.dir, self.allow)


def _read_keys(path: object) -> object:
    return duetime_payloads.PayloadCodec.read(path) if isinstance(path, str) else path


class Payloads(settings.Variables):
    """The keys of encrypted payloads."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_PAYLOAD_", env_ignore_empty=True)

    keys_file: (
        Annotated[pydantic.InstanceOf[duetime_payloads.PayloadCodec], pydantic.BeforeValidator(_read_keys)] | None
    ) = None
    """A file of ids and keys, as read when this is made. Results are encrypted with the first."""


class Reports(settings.Variables):
    """Where Generate Report stores its reports."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_REPORT_", env_ignore_empty=True)

    directory: str = "reports"
    """A directory, or a URL that fsspec supports, such as `s3://bucket/reports`."""


class Settings(settings.Settings):
    """The settings of a worker."""

    handlers: Names = []
    """The modules with the user's handlers."""
    queues: Names = [task.DEFAULT_QUEUE]
    """The queues that it serves."""
    concurrency: Annotated[int, pydantic.Field(ge=1)] = 1_000
    """How many tasks it runs at once."""
    threads: Annotated[int, pydantic.Field(ge=1)] = 100
    """How many of them may be plain functions, which take a thread each; never more than `concurrency`."""
    lease: Annotated[datetime.timedelta, pydantic.Field(ge=datetime.timedelta(seconds=1))] = datetime.timedelta(
        seconds=15
    )
    """How long a worker's claim to a running task lasts unless it is extended; after that the worker counts as lost."""
    grace_period: Annotated[datetime.timedelta, pydantic.Field(ge=datetime.timedelta(0))] = datetime.timedelta(
        seconds=20
    )
    """How long running tasks may continue after SIGTERM."""
    task_retention: settings.Retention = datetime.timedelta(days=30)
    """How long a finished task is kept after its last change."""
    log_retention: Annotated[settings.Retention, pydantic.Field(validate_default=True)] = datetime.timedelta(days=90)
    """How long rows of the log are kept, which is dropped by whole months."""
    audit_retention: settings.Retention = datetime.timedelta(days=365)
    """How long audit events are kept."""

    @pydantic.field_validator("log_retention")
    @classmethod
    def _check_log_retention(cls, kept: datetime.timedelta, info: pydantic.ValidationInfo) -> datetime.timedelta:
        tasks_kept = info.data.get("task_retention")  # None if it is invalid itself
        if tasks_kept is not None and kept < tasks_kept:
            raise ValueError(f"must not be shorter than {settings.PREFIX}TASK_RETENTION, which is {tasks_kept}")
        return kept
