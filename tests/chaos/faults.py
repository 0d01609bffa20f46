"""Faults that a scenario can be given at any time: each plays one, heals it, and says what it was."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import redis.asyncio

from tests.chaos import proxy, world

Fault = Callable[[world.World, random.Random], Awaitable[None]]


async def kill_a_worker(made: world.World, choose: random.Random) -> None:
    """Kills a worker at once, and starts another one."""
    await made.kill_worker(choose.randrange(len(made.workers)))
    await made.start_workers(1)


async def kill_all_workers(made: world.World, choose: random.Random) -> None:
    """Kills all workers at once, and starts as many."""
    count = len(made.workers)
    await asyncio.gather(*(made.kill_worker(0) for _ in range(count)))
    await asyncio.sleep(choose.uniform(0, 2))
    await made.start_workers(count)


async def replace_a_worker(made: world.World, choose: random.Random) -> None:
    """Stops a worker in order while another one starts."""
    await asyncio.gather(made.terminate_worker(choose.randrange(len(made.workers))), made.start_workers(1))


async def pause_a_worker(made: world.World, choose: random.Random) -> None:
    """Stops a worker in its tracks, for less than its lease or for more."""
    await made.pause_worker(choose.randrange(len(made.workers)), seconds=choose.uniform(0.2, 2 * world.LEASE_SECONDS))


async def crash_a_worker(made: world.World, choose: random.Random) -> None:
    """Has one more worker end itself at its worst moment."""
    await made.crash_worker(choose.choice(["worker.claimed", "worker.ran", "worker.finished"]))


async def crash_a_server(made: world.World, choose: random.Random) -> None:
    """Has one more server end itself between commit and wakeup."""
    await made.crash_server("server.committed")


async def kill_a_server(made: world.World, choose: random.Random) -> None:
    """Kills a server at once, and starts another one in its place."""
    await made.kill_server(choose.randrange(len(made.servers)))


async def kill_the_edge(made: world.World, choose: random.Random) -> None:
    """Kills Envoy, and starts it again."""
    await made.kill_edge()
    await asyncio.sleep(choose.uniform(0, 1))
    await made.start_edge()


async def kill_redis(made: world.World, choose: random.Random) -> None:
    """Kills Redis, and starts it again with nothing in it."""
    await made.kill_redis()
    await asyncio.sleep(choose.uniform(0, 5))
    await made.start_redis()


async def empty_redis(made: world.World, choose: random.Random) -> None:
    """Has Redis forget everything."""
    async with redis.asyncio.Redis(port=made.redis_port) as connection:
        await connection.flushall()


async def cut_redis(made: world.World, choose: random.Random) -> None:
    """Breaks every connection to Redis, again and again."""
    made.redis_proxy.judge = lambda _: choose.choices([proxy.Fate.PASS, proxy.Fate.CUT_BEFORE], [9, 1])[0]
    await asyncio.sleep(choose.uniform(1, 5))
    made.redis_proxy.spare()


async def kill_postgres(made: world.World, choose: random.Random) -> None:
    """Kills PostgreSQL, and starts it again."""
    async with made.outage():
        await made.postgres.kill()
        await asyncio.sleep(choose.uniform(0, 2 * world.LEASE_SECONDS))
        await made.postgres.start()


async def cut_postgres(made: world.World, choose: random.Random) -> None:
    """Breaks connections to PostgreSQL before statements arrive, and before their answers do."""
    fates = [proxy.Fate.PASS, proxy.Fate.CUT_BEFORE, proxy.Fate.CUT_AFTER]
    async with made.outage():
        made.database_proxy.judge = lambda _: choose.choices(fates, [94, 3, 3])[0]
        await asyncio.sleep(choose.uniform(1, 5))
        made.database_proxy.spare()


ALL: tuple[Fault, ...] = (
    kill_a_worker,
    kill_all_workers,
    replace_a_worker,
    pause_a_worker,
    crash_a_worker,
    crash_a_server,
    kill_a_server,
    kill_the_edge,
    kill_redis,
    empty_redis,
    cut_redis,
    kill_postgres,
    cut_postgres,
)
