"""Why a task does not run: each thing that keeps it, as a sentence."""

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
    known = {
        "task": runs.claimed(**fields),
        "now": NOW,
        "limits": queue.UNLIMITED,
        "running": 0,
        "running_of_key": 0,
        "bucket": None,
        "key_tokens": None,
        "waits_for_run": False,
        "workers": [live()],
    }
    return explanation.Facts(**{**known, **changes})


EMPTY = TokenBucket(0.5, 0.2, NOW)
CASES: dict[str, tuple[explanation.Facts, str, str]] = {
    "due later": (facts({"execution_time": NOW + 3 * HOUR}), "NOT_DUE", "It is due at "),
    "waiting for a retry": (
        facts({"execution_time": NOW + HOUR / 60, "retry_count": 2, "error_message": "it broke"}),
        "WAITING_FOR_RETRY",
        "in 60 s: the run before it failed with 'it broke'.",
    ),
    "a paused queue": (facts(limits=QueueLimits(is_paused=True)), "QUEUE_PAUSED", "'default' is paused"),
    "a limit": (facts(limits=QueueLimits(max_running=5), running=5), "QUEUE_LIMIT", "5 run of at most 5"),
    "a rate": (
        facts(limits=QueueLimits(max_per_second=0.5), bucket=EMPTY),
        "QUEUE_RATE",
        "at most 0.5 start a second",
    ),
    "a limit per key": (
        facts({"concurrency_key": "ada"}, limits=QueueLimits(max_running_per_key=1), running_of_key=1),
        "KEY_LIMIT",
        "'ada' is at its limit in queue 'default': 1 run of at most 1",
    ),
    "a rate per key": (
        facts({"concurrency_key": "ada"}, limits=QueueLimits(max_per_second_per_key=0.5), key_tokens=EMPTY),
        "KEY_RATE",
        "'ada' is at its rate",
    ),
    "an earlier run": (facts(waits_for_run=True), "OVERLAP", "until an earlier run of its schedule has ended"),
    "nobody serves its queue": (
        facts({"queue": "mail"}),
        "NO_WORKER_FOR_QUEUE",
        "No live worker serves its queue 'mail': those that live serve 'default'.",
    ),
    "nobody lives": (facts(workers=[]), "NO_WORKER_FOR_QUEUE", "no worker lives."),
    "nobody has its handler": (
        facts({"name": "Send Mail"}),
        "NO_WORKER_WITH_HANDLER",
        "a handler 'Send Mail': a run there fails, and spends a retry. "
        "They have 'Send Email', 'noop'. Is 'Send Email' meant?",
    ),
    "busy workers": (facts(workers=[live(running=100)]), "WORKERS_BUSY", "All 100 slots of worker host-1 are in use."),
    "nothing": (facts(), "ABOUT_TO_START", "nothing keeps it"),
    "it runs": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-1", "lease_expires_at": NOW + HOUR}),
        "RUNNING",
        "It runs on worker host-1 since ",
    ),
    "a silent worker": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-9", "lease_expires_at": NOW + HOUR}),
        "RUNNING",
        "That worker gave no sign of life lately.",
    ),
    "a lost lease": (
        facts({"status": task.Status.RUNNING, "worker_id": "host-1", "lease_expires_at": NOW - HOUR}),
        "LEASE_EXPIRED",
        "has not extended its lease",
    ),
    "it failed": (
        facts({"status": task.Status.FAILED, "error_message": "it broke."}),
        "FINISHED",
        "It is failed since ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_keeps_a_task_is_said(case: str) -> None:
    known, code, text = CASES[case]
    (reason,) = explanation.explain(known)
    assert reason.code == code
    assert text in reason.message


def test_all_that_keeps_it_is_told_in_the_order_in_which_it_waits_for_it() -> None:
    known = facts(
        {"execution_time": NOW + HOUR}, limits=QueueLimits(is_paused=True, max_running=2), running=2, workers=[]
    )
    assert [reason.code for reason in explanation.explain(known)] == [
        "NOT_DUE", "QUEUE_PAUSED", "QUEUE_LIMIT", "NO_WORKER_FOR_QUEUE",
    ]  # fmt: skip
