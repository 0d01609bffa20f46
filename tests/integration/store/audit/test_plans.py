"""Among 300,000 refused calls, each list of audit events reads its page alone, and retention its batch."""

import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.audit import read as audit_read
from duetime_core.store.audit import retention
from tests.integration.store.tasks import test_plans
from tests.support import plans

EVENTS = 300_000
PAGE = 51
OLDEST = (
    f"SELECT 'key_created', now() - interval '100 days', 'key:' || n, 'key' || n FROM generate_series(1, {PAGE}) AS n"
)
_FILL = f"""
INSERT INTO audit_events (kind, timestamp, actor, key_id) {OLDEST};
INSERT INTO audit_events (kind, timestamp, actor, key_id, address, method, reason)
SELECT CASE n % 3 WHEN 0 THEN 'permission_denied' ELSE 'authentication_failed' END,
    now() - ({EVENTS} - n) * interval '1 second',
    CASE n % 3 WHEN 0 THEN 'key:busy ' || n % 2 END, CASE n % 3 WHEN 0 THEN 'busy' || n % 2 END,
    '192.0.2.' || n % 100, 'GetTask', 'CREDENTIALS_INVALID'
FROM generate_series(1, {EVENTS}) AS n;
"""


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with few old changes of keys below many refused calls."""
    async with test_plans.filled(admin, _FILL) as connection:
        yield connection


@test_plans.MODES
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"kind": "key_created"},
        {"kind": "permission_denied"},
        {"kind": "key_revoked"},
        {"actor": "key:7"},
        {"actor": "key:busy 0"},
        {"actor": "nobody"},
        {"key_id": "key7"},
        {"key_id": "busy1"},
        {"kind": "permission_denied", "actor": "key:7"},
        {"kind": "key_created", "key_id": "key7"},
        {"kind": "permission_denied", "actor": "key:busy 0", "key_id": "busy0"},
    ],
    ids=str,
)
async def test_a_filter_finds_its_events_without_reading_the_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, wanted: dict[str, Any]
) -> None:
    for before in (2**63 - 1, EVENTS // 2):
        parameters = {**wanted, "before": before, "limit": PAGE}
        plan = await plans.explain(full, mode, audit_read._list(tuple(wanted)), parameters)
        assert plans.buffers(plan) < 300
        assert plans.most_rows(plan) < 4 * PAGE


@test_plans.MODES
async def test_retention_reads_no_more_than_it_deletes(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    parameters = {"keep": datetime.timedelta(days=50), "limit": retention.BATCH}
    plan = await plans.explain(full, mode, retention._DELETE, parameters)
    assert plans.buffers(plan) < 1_000


async def test_an_event_with_its_indexes_takes_about_300_bytes(full: sqlalchemy_asyncio.AsyncConnection) -> None:
    size = (await full.execute(sa.text("SELECT pg_total_relation_size('audit_events')"))).scalar_one()
    assert 200 < size / EVENTS < 400
