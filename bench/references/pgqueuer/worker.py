"""A worker, until SIGTERM. Arguments: the database's URL, the batch_size."""

import asyncio
import signal
import sys

import connections
import pgqueuer
import uvloop


async def main(url: str, batch_size: int) -> None:
    """Runs jobs that do nothing."""
    manager = pgqueuer.PgQueuer.from_asyncpg_pool(await connections.pool(url))

    @manager.entrypoint("noop")
    async def noop(_job: pgqueuer.Job) -> None:
        pass

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    print("ready", flush=True)  # noqa: T201 - the parent process waits for this
    await manager.run(batch_size=batch_size)


uvloop.run(main(sys.argv[1], int(sys.argv[2])))
