"""The table of who may call what."""

import pytest

from duetime_core.model.access import Role
from duetime_server.access import rules
from tests.support import principals

MAY_CALL = {
    Role.SUBMITTER: {"CreateTask", "BatchCreateTasks", "GetTaskStatus", "CancelTask"},
    Role.VIEWER: {
        *("GetTask", "GetTaskStatus", "ListTasks", "ListTaskLogs", "ExplainTask", "WatchTask", "WatchTasks"),
        *("GetSchedule", "ListSchedules", "ListScheduleLogs", "PreviewSchedule"),
        *("ListQueues", "GetQueue", "ListQueueLogs", "ListWorkers"),
        *("List", "Watch", "ServerReflectionInfo"),
    },
    Role.OPERATOR: {
        *("CancelTask", "RetryTask", "CancelTasks", "RetryTasks", "MoveTasks"),
        *("PauseSchedule", "ResumeSchedule", "TriggerSchedule", "BackfillSchedule"),
        *("PauseQueue", "ResumeQueue", "UpdateQueue"),
    },
    Role.EDITOR: {
        *("CreateTask", "BatchCreateTasks", "UpdateTask", "DeleteTask", "DeleteTasks"),
        *("CreateSchedule", "UpdateSchedule", "DeleteSchedule"),
    },
    Role.ADMIN: {"RecomputeSchedules", "CreateKey", "ListKeys", "GetKey", "RotateKey", "RevokeKey", "ListAuditEvents"},
}
"""What each role may call that the ones before it may not; a submitter stands beside them. Check is open."""
LADDER = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]


def permitted(role: Role) -> set[str]:
    """Returns the methods that a role may call, as the design says."""
    if role is Role.SUBMITTER:
        return MAY_CALL[role] | {"Check"}
    return set().union(*(MAY_CALL[each] for each in LADDER[: LADDER.index(role) + 1])) | {"Check"}


def test_every_method_of_every_service_has_a_rule_and_no_other() -> None:
    assert rules.RULES.keys() == principals.METHODS.keys()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_call_exactly_what_the_design_says(role: Role) -> None:
    allowed = {path.rpartition("/")[2] for path, rule in rules.RULES.items() if rule.allows(role)}
    assert allowed == permitted(role)


def test_only_the_check_of_health_is_open() -> None:
    assert [path for path, rule in rules.RULES.items() if rule.role is None] == ["/grpc.health.v1.Health/Check"]
