"""Writing queues, their logs and workers as protobuf."""

import datetime

from duetime_core.model import queue, worker
from duetime_server.queues import messages

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def test_an_unlimited_queue_has_no_limits() -> None:
    written = messages.from_queue(
        queue.Queue("mail", queue.UNLIMITED, depth=2, is_deeper=True, oldest_due=NOW, running=1, rate=0.5, workers=3)
    )
    assert (written.name, written.depth, written.running, written.workers) == ("mail", 2, 1, 3)
    assert written.depth_capped
    assert written.oldest_due.ToDatetime(datetime.UTC) == NOW
    assert not written.paused
    assert not written.HasField("max_running")


def test_a_log_names_the_fields_of_the_api_with_their_values() -> None:
    changes = [queue.FieldChange("is_paused", False, True), queue.FieldChange("max_running", None, 5)]
    written = messages.from_log(queue.QueueLog(1, "mail", "updated", changes, "api", NOW))
    paused, limit = written.changes
    assert (paused.field, paused.before.bool_value, paused.after.bool_value) == ("paused", False, True)
    assert (limit.field, limit.HasField("before"), limit.after.number_value) == ("max_running", False, 5)


def test_a_worker_has_its_load_and_heartbeat() -> None:
    written = messages.from_worker(worker.Worker("w", ["mail"], ["noop"], 10, 4, NOW, NOW, is_alive=True))
    assert (written.worker_id, list(written.queues), list(written.handlers)) == ("w", ["mail"], ["noop"])
    assert (written.concurrency, written.running, written.alive) == (10, 4, True)
    assert written.last_heartbeat_at.ToDatetime(datetime.UTC) == NOW
