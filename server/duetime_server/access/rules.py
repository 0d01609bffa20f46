"""Which roles may call which method. A method without a rule is denied to everyone."""

import dataclasses
import enum

from duetime_core.model.access import Role


class Scope(enum.StrEnum):
    """Which things a method may be called for by a submitter, whose role stands beside the others."""

    NONE = "-"
    OWN = "tasks it created"
    ALL = "yes"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """The least role that may call a method, None for everyone, without credentials; and what a submitter may."""

    role: Role | None
    submitter: Scope = Scope.NONE

    def allows(self, role: Role) -> bool:
        """Returns whether that role may call the method, for some things at least."""
        if self.role is None:
            return True
        if role is Role.SUBMITTER:
            return self.submitter is not Scope.NONE
        return role.includes(self.role)


_VIEWER, _OPERATOR, _EDITOR, _ADMIN = Rule(Role.VIEWER), Rule(Role.OPERATOR), Rule(Role.EDITOR), Rule(Role.ADMIN)

_RULES: dict[str, dict[str, Rule]] = {
    "duetime.v1.TaskService": {
        "CreateTask": Rule(Role.EDITOR, Scope.ALL),
        "BatchCreateTasks": Rule(Role.EDITOR, Scope.ALL),
        "GetTask": _VIEWER,
        "GetTaskStatus": Rule(Role.VIEWER, Scope.OWN),
        "ListTasks": _VIEWER,
        "ListTaskLogs": _VIEWER,
        "ExplainTask": _VIEWER,
        "WatchTask": _VIEWER,
        "WatchTasks": _VIEWER,
        "UpdateTask": _EDITOR,
        "DeleteTask": _EDITOR,
        "CancelTask": Rule(Role.OPERATOR, Scope.OWN),
        "RetryTask": _OPERATOR,
        "CancelTasks": _OPERATOR,
        "RetryTasks": _OPERATOR,
        "DeleteTasks": _EDITOR,
        # To another queue only by an editor: `tasks.bulk` checks it.
        "MoveTasks": _OPERATOR,
    },
    "duetime.v1.ScheduleService": {
        "CreateSchedule": _EDITOR,
        "GetSchedule": _VIEWER,
        "ListSchedules": _VIEWER,
        "ListScheduleLogs": _VIEWER,
        "PreviewSchedule": _VIEWER,
        "UpdateSchedule": _EDITOR,
        "DeleteSchedule": _EDITOR,
        "PauseSchedule": _OPERATOR,
        "ResumeSchedule": _OPERATOR,
        "TriggerSchedule": _OPERATOR,
        "BackfillSchedule": _OPERATOR,
        "RecomputeSchedules": _ADMIN,
    },
    "duetime.v1.QueueService": {
        "ListQueues": _VIEWER,
        "GetQueue": _VIEWER,
        "ListQueueLogs": _VIEWER,
        "ListWorkers": _VIEWER,
        "UpdateQueue": _OPERATOR,
        "PauseQueue": _OPERATOR,
        "ResumeQueue": _OPERATOR,
    },
    "duetime.v1.KeyService": dict.fromkeys(("CreateKey", "ListKeys", "GetKey", "RotateKey", "RevokeKey"), _ADMIN),
    # Only by an admin without limits: the service checks it.
    "duetime.v1.AuditService": {"ListAuditEvents": _ADMIN},
    # Envoy and supervisors have no key.
    "grpc.health.v1.Health": {"Check": Rule(None), "List": _VIEWER, "Watch": _VIEWER},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _VIEWER},
}

RULES: dict[str, Rule] = {
    f"/{service}/{method}": rule for service, methods in _RULES.items() for method, rule in methods.items()
}
"""By the method's path, as gRPC sends it."""
