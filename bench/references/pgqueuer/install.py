"""Creates pgqueuer's tables, durable and with its autovacuum settings. Argument: the database's URL."""

import asyncio
import json
import sys

import connections
from pgqueuer import queries
from pgqueuer.domain import settings


async def main(url: str) -> None:
    """Does what `pgq install` and `pgq autovac` do."""
    if settings.db_settings().durability is not settings.Durability.durable:
        raise RuntimeError("PGQUEUER_DURABILITY must not be set: unlogged tables would not be comparable")
    connection = await connections.connect(url)
    installer = queries.Queries.from_asyncpg_connection(connection)
    await installer.install()
    await installer.optimize_autovacuum()
    await connection.close()
    print(json.dumps({}))  # noqa: T201 - the result


asyncio.run(main(sys.argv[1]))
