"""Reading the feed."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model.snapshot import Position
from duetime_core.store.log import feed

Row = tuple[int, int]
"""The task_id and version of a log row."""


async def read_all(
    engine: sqlalchemy_asyncio.AsyncEngine, position: Position, *, limit: int = 1000
) -> tuple[list[Row], Position]:
    """Returns the rows after `position` and the position after them."""
    rows: list[Row] = []
    while True:
        page = await feed.read(engine, position, namespace_id=None, limit=limit)
        rows += [(entry.log.task_id, entry.log.version) for entry in page.entries]
        position = page.position
        if page.is_last:
            return rows, position
