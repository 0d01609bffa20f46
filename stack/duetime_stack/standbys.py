"""The checks of `duetime doctor` for what follows a primary: standbys and replication slots."""

from collections.abc import Iterator

from duetime_core.postgres import replication
from duetime_stack import finding

_MOST_LAG_BYTES = 64 * 1024 * 1024
_MOST_LAG_SECONDS = 30.0
_MOST_KEPT_BYTES = 1024**3
_MOST_OLD_TRANSACTIONS = 1_000_000


def check(found: replication.Replication) -> Iterator[finding.Finding]:
    """Yields what is found of the standbys and slots of a primary."""
    if found.synchronous < found.required:
        yield finding.Finding(
            finding.Level.ERROR,
            f"all commits wait: synchronous_standby_names is {found.synchronous_standby_names!r}, and of the standbys "
            f"that it names {found.synchronous} of {found.required} are connected. Start them, or change the setting "
            "and call pg_reload_conf()",
        )
    hidden = [each.name for each in found.standbys if not each.is_visible]
    if hidden:
        yield finding.Finding(
            finding.Level.WARNING,
            f"whether the standbys {', '.join(hidden)} lag behind is not visible: GRANT pg_monitor TO {found.role}",
        )
    for standby in found.standbys:
        if standby.is_visible:
            yield _of_standby(standby)
    for slot in found.slots:
        if (problem := _problem(slot)) is not None:
            yield finding.Finding(finding.Level.WARNING, f"replication slot {slot.name} {problem}")


def _of_standby(standby: replication.Standby) -> finding.Finding:
    size, seconds = standby.lag_bytes or 0, standby.lag_seconds or 0.0
    lag = f"standby {standby.name} ({standby.sync_state}) is {_size(size)} and {seconds:.0f} s behind"
    if size > _MOST_LAG_BYTES or seconds > _MOST_LAG_SECONDS:
        return finding.Finding(
            finding.Level.WARNING,
            f"{lag}: a failover to it takes longer and, if it is asynchronous, loses that. Check its disk, its "
            "network, and queries on it that keep it from replaying",
        )
    return finding.Finding(finding.Level.OK, lag)


def _problem(slot: replication.Slot) -> str | None:
    drop = f"or drop it: SELECT pg_drop_replication_slot('{slot.name}')"
    if slot.is_lost:
        return f"has lost the WAL that its consumer needs: make that anew, {drop}"
    if not slot.is_active and (slot.kept_bytes or slot.old_transactions):
        return (
            f"has no consumer and keeps {_size(slot.kept_bytes)} of WAL and the dead rows of {slot.old_transactions:,} "
            f"transactions, until the disk is full: start its consumer, {drop}"
        )
    if slot.kept_bytes > _MOST_KEPT_BYTES:
        return f"keeps {_size(slot.kept_bytes)} of WAL: its consumer is too slow; speed it up, {drop}"
    if slot.old_transactions > _MOST_OLD_TRANSACTIONS:
        return (
            f"keeps the dead rows of {slot.old_transactions:,} transactions, which slows claims: end long queries on "
            f"its standby or turn off hot_standby_feedback there, speed up its consumer, {drop}"
        )
    return None


def _size(count: int) -> str:
    return f"{count / 1024**2:,.0f} MB"
