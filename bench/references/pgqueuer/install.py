"""Makes pgqueuer's tables, durable and with its settings for autovacuum. Arguments: the database's URL."""

import asyncio
import json
import sys

import connections
from pgqueuer import queries
from pgqueuer.domain import settings


async def main(url: str) -> None:
    """Does the same as `pgq install` and `pgq autovac`."""
    if settings.db_settings().durability is not settings.Durability.durable:
        raise RuntimeError("PGQUEUER_DURABILITY must not be set: tables that a crash empties are no reference")
    connection = await connections.connect(url)
    made = queries.Queries.from_asyncpg_connection(connection)
    await made.install()
    await made.optimize_autovacuum()
    await connection.close()
    print(json.dumps({}))  # noqa: T201 - the answer


asyncio.run(main(sys.argv[1]))
