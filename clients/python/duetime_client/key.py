"""API keys."""

import dataclasses
import datetime
import enum


class Role(enum.StrEnum):
    """What an API key permits. Up to admin, each includes the ones before it; submitter stands beside them."""

    VIEWER = "viewer"
    """Reads everything but payloads."""
    OPERATOR = "operator"
    """Changes when tasks run, but not what they do."""
    EDITOR = "editor"
    """Creates and changes work, and reads payloads."""
    ADMIN = "admin"
    """Manages keys, and recomputes all schedules."""
    SUBMITTER = "submitter"
    """Creates tasks, and reads the status of and cancels those that it created."""


@dataclasses.dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without its secret."""

    key_id: str
    name: str
    role: str
    """One of Role; new ones may be added."""
    may_read_payloads: bool
    handlers: tuple[str, ...]
    """The only handlers whose tasks and schedules it creates or changes; empty: all."""
    queues: tuple[str, ...]
    """The only queues of tasks and schedules which it creates or changes; empty: all."""
    actor: str
    """Who calls with it, as logs name it: the same for a key and those that replaced it."""
    created_by: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    """None: never."""
    revoked_at: datetime.datetime | None
    replaced_by: str
    """The id of the key that it was rotated to; empty if it was not."""
    last_used_at: datetime.datetime | None
    """To the minute."""
    last_used_from: str
    in_force: bool
    """Whether it is accepted: it has neither expired nor been revoked."""


@dataclasses.dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key."""

    key: ApiKey
    api_key: str = dataclasses.field(repr=False)
    """The key with its secret, which no other call returns."""


@dataclasses.dataclass(frozen=True, slots=True)
class RotatedKey:
    """The key that replaced another one."""

    key: ApiKey
    api_key: str = dataclasses.field(repr=False)
    """The key with its secret, which no other call returns."""
    replaced: ApiKey
    """The old key, with the time when it expires."""
