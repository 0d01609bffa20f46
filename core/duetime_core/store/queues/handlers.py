"""Users' handlers, as their workers announce them. Servers read them when tasks are created.

A handler stays known while its workers are down: a task may be created while they restart.
"""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import builtin, task
from duetime_core.postgres import database, namespaced
from duetime_core.store import encoding
from duetime_core.store.queues import workers

_KEPT = "30 days"
_KEPT_UNDER_A_BUILT_IN_NAME = "1 day"
"""For a user's handler with the name of a built-in one: it may have been removed, and workers run the built-in one."""

_RETRIES = ", ".join(encoding.RETRIES)
_ASSIGNMENTS = ", ".join(
    f"{field} = CASE WHEN :is_first THEN excluded.{field} ELSE handlers.{field} END" for field in encoding.RETRIES
)
_ANNOUNCE = namespaced.text(f"""
INSERT INTO handlers (namespace_id, name, {_RETRIES}, announced_at)
SELECT :namespace_id, given.*, now() FROM json_to_recordset(CAST(:handlers AS json)) AS given (
    name text, {encoding.record(encoding.RETRIES)}
) ORDER BY name
ON CONFLICT (namespace_id, name) DO UPDATE SET announced_at = now(), {_ASSIGNMENTS}
""")
# Two workers that delete at once must not wait for each other.
_DELETE_OLD = namespaced.text(f"""
DELETE FROM handlers WHERE namespace_id = :namespace_id AND name = ANY(ARRAY(
    SELECT name FROM handlers WHERE namespace_id = :namespace_id AND announced_at < now() - CASE
        WHEN name = ANY(CAST(:built_in AS text[])) THEN interval '{_KEPT_UNDER_A_BUILT_IN_NAME}'
        ELSE interval '{_KEPT}'
    END FOR UPDATE SKIP LOCKED
))
""")
# A worker of a version that announces nothing may have a user's handler under any of its names.
_READ = sa.text(f"""
SELECT namespace_id, name, {_RETRIES} FROM handlers
UNION ALL
SELECT DISTINCT namespace_id, unnest(handlers),
    {", ".join(f"CAST(NULL AS {kind})" for kind in encoding.RETRIES.values())}
FROM workers WHERE NOT announces AND last_heartbeat_at > now() - interval '{workers.KEPT}'
""")


async def announce(
    engine: sqlalchemy_asyncio.AsyncEngine, handlers: Mapping[str, task.Retries | None], *, is_first: bool
) -> None:
    """Announces the user's handlers of a worker, with their default retries, and deletes old ones.

    The worker that started last decides a handler's default retries: `is_first` is true of its first announcement.
    """
    encoded = json.dumps([_encode(name, retries) for name, retries in handlers.items()])
    built_in = [name for name in builtin.SPECS if name not in handlers]
    with database.unavailable():
        async with engine.connect() as connection:
            await connection.execute(_ANNOUNCE, {"handlers": encoded, "is_first": is_first})
            await connection.execute(_DELETE_OLD, {"built_in": built_in})


async def read(engine: sqlalchemy_asyncio.AsyncEngine) -> dict[int, dict[str, task.Retries]]:
    """Returns the users' handlers that workers announced and their default retries, by their namespaces."""
    found: dict[int, dict[str, task.Retries]] = {}
    with database.unavailable():
        async with engine.connect() as connection:
            for namespace_id, name, max_retries, *policy in await connection.execute(_READ):
                own = found.setdefault(namespace_id, {})
                if max_retries is not None:
                    own[name] = task.Retries(max_retries, task.RetryPolicy(*policy))
                else:
                    own.setdefault(name, task.Retries())
    return found


def _encode(name: str, retries: task.Retries | None) -> dict[str, Any]:
    return {"name": name, **(encoding.retries(retries.max_retries, retries.retry_policy) if retries else {})}
