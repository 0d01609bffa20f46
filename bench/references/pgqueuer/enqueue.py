"""Enqueues jobs in one statement, all due at once. Arguments: the database's URL, number of jobs, delay in seconds."""

import asyncio
import datetime
import json
import sys

import connections
from pgqueuer import queries

PAYLOAD = json.dumps({"to": "ada@example.com", "subject": "hello"}).encode()


async def main(url: str, jobs: int, seconds: float) -> None:
    """Enqueues the jobs and prints when they are due, in seconds since the epoch."""
    connection = await connections.connect(url)
    after = datetime.timedelta(seconds=seconds)
    await queries.Queries.from_asyncpg_connection(connection).enqueue(
        ["noop"] * jobs, [PAYLOAD] * jobs, [0] * jobs, [after] * jobs
    )
    (moment,) = await connection.fetch("SELECT DISTINCT execute_after FROM pgqueuer")
    await connection.close()
    print(json.dumps({"due": moment["execute_after"].timestamp()}))  # noqa: T201 - the result


asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
