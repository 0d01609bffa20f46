"""Among 100,000 API keys those of callers are found by their ids, and nothing reads them all."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_core.store.api_keys import usage
from tests.integration.store.tasks import test_plans
from tests.support import plans

KEYS = 100_000
IDS = [f"key{number:09}" for number in range(5_000, 6_000, 10)]

_FILL = f"""
INSERT INTO api_keys (key_id, digest, name, role, may_read_payloads, actor, created_by, expires_at)
SELECT 'key' || lpad(CAST(n AS text), 9, '0'), sha256('x'), 'ci',
    CASE n % 10000 WHEN 0 THEN 'admin' ELSE 'editor' END, true, 'key', 'api', now() + interval '1 day'
FROM generate_series(1, {KEYS}) AS n;
"""


@pytest_asyncio.fixture(scope="module")
async def full(admin: sqlalchemy_asyncio.AsyncEngine) -> AsyncIterator[sqlalchemy_asyncio.AsyncConnection]:
    """A connection to a database with many keys."""
    async with test_plans.filled(admin, _FILL) as connection:
        yield connection


@test_plans.MODES
async def test_the_keys_of_callers_are_found_by_their_ids(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    plan = await plans.explain(full, mode, key_read._FIND, {"key_ids": IDS})
    assert plan["Actual Rows"] == len(IDS)
    assert plans.buffers(plan) < 500


@test_plans.MODES
async def test_each_page_costs_the_same(full: sqlalchemy_asyncio.AsyncConnection, mode: str) -> None:
    for after in (0, KEYS // 2, KEYS - 60):
        parameters = {"with_ended": False, "after": after, "limit": 51}
        plan = await plans.explain(full, mode, key_read._LIST, parameters)
        assert plans.buffers(plan) < 100


@test_plans.MODES
async def test_the_uses_of_many_keys_are_noted_without_reading_the_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str
) -> None:
    parameters = {"key_ids": IDS, "ago": ["1 second"] * len(IDS), "addresses": ["192.0.2.1"] * len(IDS)}
    plan = await plans.explain(full, mode, usage._NOTE, parameters)
    assert plans.buffers(plan) < 5_000


@test_plans.MODES
@pytest.mark.parametrize("statement", [key_revoke._LOCK_ADMINS, key_revoke._HAS_OTHER], ids=["lock", "other"])
async def test_admin_keys_are_found_without_reading_the_others(
    full: sqlalchemy_asyncio.AsyncConnection, mode: str, statement: sa.TextClause
) -> None:
    parameters = {"key_id": IDS[0], "expires_at": None}
    plan = await plans.explain(full, mode, statement, parameters)
    assert plans.buffers(plan) < 100
