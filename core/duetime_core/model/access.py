"""Who makes a call, and what it may do."""

import dataclasses
import datetime
import enum

from duetime_core.model import namespace


class Role(enum.StrEnum):
    """What a principal may do. From viewer on, each role includes the ones before it; submitter stands beside them."""

    SUBMITTER = "submitter"
    """Creates tasks, and reads the status of and cancels those that it created."""
    VIEWER = "viewer"
    """Reads everything but payloads."""
    OPERATOR = "operator"
    """Changes when tasks run, but not what they do."""
    EDITOR = "editor"
    """Creates and changes work, and reads payloads."""
    ADMIN = "admin"
    """Manages keys, and recomputes all schedules."""

    def includes(self, other: "Role") -> bool:
        """Returns whether this role may do all that the other one may."""
        if Role.SUBMITTER in (self, other):
            return self is other or self in (Role.EDITOR, Role.ADMIN)
        return _LADDER.index(self) >= _LADDER.index(other)

    @property
    def reads_payloads(self) -> bool:
        """Whether each of its principals may read payloads: who may write any of them, may read them."""
        return self.includes(Role.EDITOR)


MAX_ACTOR_CHARACTERS = 512
"""The longest actor: that of a token's user."""
_LADDER = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """The identity that makes a call.

    `handlers` and `queues` are the only ones whose tasks and schedules it may create or change, or None for all: a
    handler is code, so to create its tasks is a right of its own.
    """

    actor: str
    """As logs name it, such as `key:3mJr7AoUXx2W` or `jwt:corp:alice`."""
    role: Role
    may_read_payloads: bool = False
    handlers: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    expires_at: datetime.datetime | None = None
    key_id: str = ""
    """The API key with which it calls: after a rotation, its actor has several. Empty for an access token."""
    namespace_id: int = namespace.DEFAULT
    """Whose tasks, schedules, queues, keys and logs it sees: those of one namespace alone."""
