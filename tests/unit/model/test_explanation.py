"""Why a task does not run: each reason, as a sentence."""

import datetime
from typing import Any

import pytest

from duetime_core.model import explanation, queue, task, worker
from duetime_core.model.queue import QueueLimits, TokenBucket
from tests.support import runs

NOW = runs.MOMENT
HOUR = datetime.timedelta(hours=1)


def live(**changes: Any) -> worker.Worker:
    given = {
        "worker_id": "host-1",
        "queues": ["default"],
        "handlers": ["noop", "Send Email"],
        "concurrency": 100,
        "running": 0,
        "started_at": NOW,
        "last_heartbeat_at": NOW,
        "is_alive": True,
    }
    return worker.Worker(**{**given, **changes})


def facts(given: dict[str, Any] | None = None, **changes: Any) -> explanation.Facts:
    fields = {"status": task.Status.PENDING, "worker_id": None, "lease_expires_at": None, **(given or {})}
    defaults = {
        "task": runs.claimed(**fields),
        "now": NOW,
        "limits": queue.UNLIMITED,
        "running": 0,
        "running_of_key": 0,
        "bucket": None,
        "key_bucket": None,
        "advance_error": None,
        "waits_for_run": False,
        "workers": [live()],
    }
    return explanation.Facts(**{**defaults, **changes})


EMPTY = TokenBucket(0.5, 0.2, NOW)
CASES: dict[str, tuple[explanation.Facts, str, str]] = {
    "due later": (facts({"execution_time": NOW + 3 * HOUR}), "NOT_DUE", "The task is due at "),
    "waiting for a retry": (
        facts({"execution_time": NOW + HOUR / 60, "retry_count": 2, "error_message": "it broke"}),
        "WAITING_FOR_RETRY",
        "in 60 s: the previous run failed with 'it broke'.",
    ),
    "a paused queue": (facts(limits=QueueLimits(is_paused=True)), "QUEUE_PAUSED", "'default' is paused"),
    "a limit": (
        facts(limits=QueueLimits(max_running=5), running=5),
        "QUEUE_LIMIT",
        "Queue 'default' is at its limit: 5 of 5 tasks running.",
    ),
    "a rate": (
        facts(limits=QueueLimits(max_per_second=0.5), bucket=EMPTY),
        "QUEUE_RATE",
        "at most 0.5 tasks start per second",
    ),
    "a limit per key": (
        facts({"concurrency_key": "ada"}, limits=QueueLimits(max_running_per_key=1), running_of_key=1),
        "KEY_LIMIT",
        "Concurrency key 'ada' is at its limit in queue 'default': 1 of 1 tasks running.",
    ),
    "a rate per key": (
        facts({"concurrency_key": "ada"}, limits=QueueLimits(max_per_second_per_key=0.5), key_bucket=EMPTY),
        "KEY_RATE",
        "Concurrency key 'ada' is at its rate limit",
    ),
    "a schedule that fails": (
        facts({"schedule_id": 7}, advance_error="All task ids are used."),
        "SCHEDULE_ERROR",
        "Schedule 7 could not be advanced, which is retried: All task ids are used.",
    ),
    "an earlier run": (facts(waits_for_run=True), "OVERLAP", "for an earlier run of its schedule to end"),
    "no worker serves its queue": (
        facts({"queue": "mail"}),
        "NO_WORKER_FOR_QUEUE",
        "No live worker serves queue 'mail': live workers serve 'default'.",
    ),
    "no worker is alive": (facts(workers=[]), "NO_WORKER_FOR_QUEUE", "there are no live workers."),
    "no worker has its handler": (
        facts({"name": "Send Mail"}),
        "NO_WORKER_WITH_HANDLER",
        "a handler 'Send Mail': a run there fails and spends a retry. "
        "They have 'Send Email', 'noop'. Did you mean 'Send Email'?",
    ),
    "busy workers": (facts(workers=[live(running=100)]), "WORKERS_BUSY", "All 100 slots of worker host-1 are in use."),
    "workers with free slots that claim nothing": (
        facts(workers=[live(running=40, free_slots=0)]),
        "WORKERS_BUSY",
        "40 of 100 slots of worker host-1 are in use. A worker with free slots claims nothing while all its threads "
        "for plain functions are in use, while claimed tasks wait to begin, while the data of its runs or of outcomes "
        "that are not recorded is too large, or while it stops.",
    ),
    "nothing": (facts(), "ABOUT_TO_START", "nothing blocks it"),
    "it runs": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-1", "lease_expires_at": NOW + HOUR}),
        "RUNNING",
        "The task is running on worker host-1 since ",
    ),
    "its function continues after its timeout": (
        facts({"status": task.Status.RUNNING, "executed_at": NOW - HOUR, "timeout": HOUR / 60, "worker_id": "host-1"}),
        "RUNNING",
        "Its timeout of 60 s is over, but its handler has not ended: a plain function runs, and counts",
    ),
    "a silent worker": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-9", "lease_expires_at": NOW + HOUR}),
        "RUNNING",
        "That worker has sent no heartbeat lately.",
    ),
    "a lost lease": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-1", "lease_expires_at": NOW - HOUR}),
        "LEASE_EXPIRED",
        "The lease of worker host-1 on run 1 expired at ",
    ),
    "it failed": (
        facts({"status": task.Status.FAILED, "error_message": "it broke."}),
        "FINISHED",
        "The task failed at ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_why_a_task_is_not_running(case: str) -> None:
    given, code, text = CASES[case]
    (reason,) = explanation.explain(given)
    assert reason.code == code
    assert text in reason.message


def test_all_reasons_are_returned_in_the_order_in_which_they_block_the_task() -> None:
    given = facts(
        {"execution_time": NOW + HOUR}, limits=QueueLimits(is_paused=True, max_running=2), running=2, workers=[]
    )
    assert [reason.code for reason in explanation.explain(given)] == [
        "NOT_DUE", "QUEUE_PAUSED", "QUEUE_LIMIT", "NO_WORKER_FOR_QUEUE",
    ]  # fmt: skip
