"""The rows of tasks are read in the order of their columns."""

import datetime

from duetime_core.model import task
from duetime_core.store import encoding
from duetime_core.store.tasks import columns

NOW = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LEASE = datetime.timedelta(seconds=15)


def test_a_claimed_row_is_read_by_the_order_of_its_columns() -> None:
    row = columns.CLAIMED
    claimed = columns.read_claimed(
        [*row, "now"], 2, lease_id=3, worker_id="worker", started_at=NOW, expires_at=NOW + LEASE, namespace_id=1
    )
    policy = {encoding.column(field): getattr(claimed.retry_policy, field) for field in encoding.POLICY}
    read = {column: policy[column] if column in policy else getattr(claimed, column) for column in row}
    assert read == {column: column for column in row}
    assert (claimed.status, claimed.version, claimed.worker_id) == (task.Status.RUNNING, 2, "worker")
    assert (claimed.updated_at, claimed.executed_at, claimed.lease_expires_at) == (NOW, NOW, NOW + LEASE)
    assert (claimed.result, claimed.deleted_at, claimed.is_next) == (None, None, False)


def test_the_fields_of_a_template_are_those_that_are_encoded() -> None:
    encoded = encoding.template(task.NewTask("noop", NOW, timeout=LEASE, priority=1, concurrency_key="key"))
    assert encoded.keys() == encoding.TEMPLATE.keys()
