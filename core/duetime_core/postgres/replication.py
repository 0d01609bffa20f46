"""What follows a PostgreSQL server: its standbys, and the replication slots that keep WAL and old rows for them."""

import dataclasses
import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database

_STANDBYS = sa.text("""
SELECT application_name AS name, state IS NOT NULL AS is_visible, sync_state,
    CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS bigint) AS lag_bytes,
    CAST(extract(epoch FROM replay_lag) AS double precision) AS lag_seconds
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' ORDER BY application_name, pid
""")
_SLOTS = sa.text("""
SELECT slot_name AS name, active AS is_active,
    coalesce(CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS bigint), 0) AS kept_bytes,
    coalesce(wal_status = 'lost', false) AS is_lost, greatest(age(xmin), age(catalog_xmin), 0) AS old_transactions
FROM pg_replication_slots ORDER BY slot_name
""")
_SETTINGS = sa.text(
    "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit'), current_user"
)
_SYNCHRONOUS = re.compile(r"(?:(?:FIRST|ANY)?\s*(\d+)\s*\((.*)\)|(.*))", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


@dataclasses.dataclass(frozen=True)
class Standby:
    """A connected standby. What is not visible to our role is None."""

    name: str
    is_visible: bool
    sync_state: str | None
    lag_bytes: int | None
    lag_seconds: float | None


@dataclasses.dataclass(frozen=True)
class Slot:
    """A replication slot; `old_transactions` is for how many transactions it keeps dead rows from being removed."""

    name: str
    is_active: bool
    kept_bytes: int
    is_lost: bool
    old_transactions: int


@dataclasses.dataclass(frozen=True)
class Replication:
    """All that follows a primary, as one of our sessions sees it."""

    synchronous_standby_names: str
    synchronous_commit: str
    role: str
    standbys: Sequence[Standby]
    slots: Sequence[Slot]

    @property
    def required(self) -> int:
        """How many synchronous standbys each commit waits for."""
        return _required(self.synchronous_standby_names)[0] if self._is_synchronous else 0

    @property
    def synchronous(self) -> int:
        """How many of those standbys are connected."""
        names = _required(self.synchronous_standby_names)[1]
        return sum(
            each.sync_state in ("sync", "quorum") if each.is_visible else "*" in names or each.name.lower() in names
            for each in self.standbys
        )

    @property
    def _is_synchronous(self) -> bool:
        return self.synchronous_commit not in ("off", "local")


async def read(engine: sqlalchemy_asyncio.AsyncEngine) -> Replication:
    """Returns what follows the primary. Raises StoreUnavailable."""
    with database.unavailable():
        async with engine.connect() as connection:
            names, synchronous_commit, role = (await connection.execute(_SETTINGS)).one()
            standbys = [Standby(*row) for row in await connection.execute(_STANDBYS)]
            slots = [Slot(*row) for row in await connection.execute(_SLOTS)]
            return Replication(names, synchronous_commit, role, standbys, slots)


def _required(synchronous_standby_names: str) -> tuple[int, set[str]]:
    """Returns how many of which standbys that setting requires: `a, b`, `2 (a, b)`, `FIRST 2 (a, b)` or `ANY 2 (*)`."""
    match = _SYNCHRONOUS.fullmatch(synchronous_standby_names.strip())
    assert match is not None  # its last alternative matches anything
    number, listed, alone = match.groups()
    names = {(plain or quoted.replace('""', '"')).lower() for quoted, plain in _NAME.findall(listed or alone or "")}
    return (int(number or 1) if names else 0), names
