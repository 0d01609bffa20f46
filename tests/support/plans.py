"""PostgreSQL's plans of the store's statements."""

import itertools
import re
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import namespace

_NUMBERS = itertools.count()
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


async def explain(
    connection: sqlalchemy_asyncio.AsyncConnection, mode: str, statement: sa.TextClause, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Runs the statement, rolls it back, and returns its plan; `mode` is a plan_cache_mode."""
    # Prepared, because EXPLAIN with bound parameters always uses a custom plan.
    names = list(dict.fromkeys(_PARAMETER.findall(statement.text)))
    text = statement.text.replace(":namespace_id", "CAST(:namespace_id AS int)")
    numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text)
    parameters = {"namespace_id": namespace.current(), **parameters}
    driver: psycopg.AsyncConnection[Any] = (await connection.get_raw_connection()).driver_connection  # type: ignore[assignment]
    values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
    name = f"explained_{next(_NUMBERS)}"
    template = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name}" + ("({})" if names else "")
    explained = sql.SQL(template).format(values)
    await driver.execute("BEGIN")
    try:
        await driver.execute(sql.SQL("SET LOCAL plan_cache_mode = {}").format(sql.Identifier(mode)))
        await driver.execute(f"PREPARE {name} AS {numbered}".encode())
        ((answer,),) = await (await driver.execute(explained)).fetchall()
    finally:
        await driver.execute("ROLLBACK")  # after which psycopg drops prepared statements, if it has any
    plan: dict[str, Any] = answer[0]["Plan"]
    return plan


def buffers(plan: dict[str, Any]) -> int:
    """Returns how many blocks the plan touched."""
    found: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


async def blocks(
    engine: sqlalchemy_asyncio.AsyncEngine, statements: dict[str, tuple[sa.TextClause, dict[str, Any]]]
) -> dict[str, int]:
    """Returns how many blocks each of the statements touches, by the generic plan."""
    async with engine.connect() as connection:
        return {
            name: buffers(await explain(connection, "force_generic_plan", statement, parameters))
            for name, (statement, parameters) in statements.items()
        }


def most_rows(plan: dict[str, Any]) -> float:
    """Returns how many rows the node that handled most of them handled."""
    removed = sum(value for name, value in plan.items() if name.startswith("Rows Removed"))
    below = [most_rows(node) for node in plan.get("Plans", [])]
    here: float = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return max([here, *below])
