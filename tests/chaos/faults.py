"""Faults that can be injected into a scenario at any time. Each is undone before its function returns."""

import asyncio
import contextlib
import datetime
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio
import redis.asyncio

import duetime_client
from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from duetime_core.model import namespace
from duetime_core.redis import names
from tests.chaos import clock, proxy, rules_of_runs, world
from tests.support import clients, rows

_ROLLBACKS = 50
_STEP_SECONDS = (240, 360)
"""By far more than a round takes, so that no time is shown twice."""

Fault = Callable[[world.World, random.Random], Awaitable[None]]


async def kill_a_worker(made: world.World, choose: random.Random) -> None:
    """Kills a worker, and starts another."""
    await made.kill_worker(choose.randrange(len(made.workers)))
    await made.start_workers(1)


async def kill_all_workers(made: world.World, choose: random.Random) -> None:
    """Kills all workers at once, and starts as many new ones."""
    count = len(made.workers)
    await asyncio.gather(*(made.kill_worker(0) for _ in range(count)))
    await asyncio.sleep(choose.uniform(0, 2))
    await made.start_workers(count)


async def replace_a_worker(made: world.World, choose: random.Random) -> None:
    """Terminates a worker while another one starts."""
    await asyncio.gather(made.terminate_worker(choose.randrange(len(made.workers))), made.start_workers(1))


async def pause_a_worker(made: world.World, choose: random.Random) -> None:
    """Suspends a worker for less than its lease, or for more."""
    await made.pause_worker(choose.randrange(len(made.workers)), seconds=choose.uniform(0.2, 2 * world.LEASE_SECONDS))


async def crash_a_worker(made: world.World, choose: random.Random) -> None:
    """Starts another worker, which crashes at its worst moment."""
    await made.crash_worker(choose.choice(["worker.claimed", "worker.ran", "worker.finished"]))


async def crash_a_server(made: world.World, choose: random.Random) -> None:
    """Starts another server, which crashes between commit and wakeup."""
    await made.crash_server("server.committed")


async def kill_a_server(made: world.World, choose: random.Random) -> None:
    """Kills a server, and replaces it."""
    await made.kill_server(choose.randrange(len(made.servers)))


async def kill_the_edge(made: world.World, choose: random.Random) -> None:
    """Kills Envoy, and restarts it."""
    await made.kill_edge()
    await asyncio.sleep(choose.uniform(0, 1))
    await made.start_edge()


async def kill_redis(made: world.World, choose: random.Random) -> None:
    """Kills Redis, and restarts it empty."""
    await made.kill_redis()
    await asyncio.sleep(choose.uniform(0, 5))
    await made.start_redis()


async def empty_redis(made: world.World, choose: random.Random) -> None:
    """Flushes Redis."""
    async with redis.asyncio.Redis(unix_socket_path=str(made.redis_path)) as connection:
        await connection.flushall()


async def cut_redis(made: world.World, choose: random.Random) -> None:
    """Breaks connections to Redis repeatedly."""
    made.redis_proxy.judge = lambda _: choose.choices([proxy.Fate.PASS, proxy.Fate.CUT_BEFORE], [9, 1])[0]
    await asyncio.sleep(choose.uniform(1, 5))
    made.redis_proxy.spare()


async def kill_postgres(made: world.World, choose: random.Random) -> None:
    """Kills PostgreSQL, and restarts it."""
    async with made.outage():
        await made.postgres.kill()
        await asyncio.sleep(choose.uniform(0, 2 * world.LEASE_SECONDS))
        await made.postgres.start()


async def kill_postgres_after_rollbacks(made: world.World, choose: random.Random) -> None:
    """Kills PostgreSQL when its last ids of transactions are of some that rolled back, and gives them again."""
    await roll_back_transactions(made)
    await kill_postgres(made, choose)


async def roll_back_transactions(made: world.World) -> None:
    """Rolls back transactions that have ids, as another application may."""
    async with await made.connect() as connection:
        for _ in range(_ROLLBACKS):
            await connection.execute("BEGIN")
            await connection.execute("SELECT pg_current_xact_id()")
            await connection.execute("ROLLBACK")


async def cut_postgres(made: world.World, choose: random.Random) -> None:
    """Breaks connections to PostgreSQL before statements arrive, and before their responses do."""
    fates = [proxy.Fate.PASS, proxy.Fate.CUT_BEFORE, proxy.Fate.CUT_AFTER]
    async with made.outage("cut"):
        made.database_proxy.judge = lambda _: choose.choices(fates, [94, 3, 3])[0]
        await asyncio.sleep(choose.uniform(1, 5))
        made.database_proxy.spare()


async def silence_postgres(made: world.World, choose: random.Random) -> None:
    """Lets all open connections to PostgreSQL fall silent, without closing them."""
    made.note("silenced")
    made.database_proxy.silence()
    await asyncio.sleep(choose.uniform(0, world.LEASE_SECONDS))


async def lock_running_tasks(made: world.World, choose: random.Random) -> None:
    """Locks the rows of a few running tasks for longer than their leases, as a careless administrator does."""
    async with await made.connect() as connection, connection.transaction():
        await connection.execute(rows.LOCK_RUNNING)
        await asyncio.sleep(choose.uniform(1, 2 * world.LEASE_SECONDS))


async def hold_a_snapshot(made: world.World, choose: random.Random) -> None:
    """Keeps a snapshot open, as a backup does."""
    async with await made.connect() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.execute("SELECT count(*) FROM tasks")
        await asyncio.sleep(choose.uniform(1, 2 * world.LEASE_SECONDS))


async def freeze_postgres(made: world.World, choose: random.Random) -> None:
    """Suspends PostgreSQL: it does not respond, and no connection breaks."""
    async with made.outage():
        made.postgres.freeze()
        await asyncio.sleep(choose.uniform(0, 3 * world.LEASE_SECONDS))
        made.postgres.thaw()


async def step_the_clock(made: world.World, choose: random.Random) -> None:
    """Sets the clock of PostgreSQL minutes ahead or back for a while, each of them once."""
    earlier = {ahead > 0 for _, ahead in made.clock_steps if ahead}
    directions = [direction for direction in (1, -1) if (direction > 0) not in earlier]
    if not directions:
        return
    made.set_clock(choose.choice(directions) * choose.uniform(*_STEP_SECONDS))
    await asyncio.sleep(choose.uniform(1, 2 * world.LEASE_SECONDS))
    made.set_clock(0)
    await asyncio.sleep(world.LEASE_SECONDS)  # by then no lease ends at a time that the wrong clock set


async def run_by_a_wrong_clock(made: world.World, choose: random.Random) -> None:
    """Runs another worker, whose clock is an hour off, for a while."""
    made.workers.append(await made.start_worker(variables=made.wrong_clock(choose.choice([3600, -3600]))))
    await asyncio.sleep(choose.uniform(1, 5))
    await made.terminate_worker(len(made.workers) - 1)


async def run_poison(made: world.World, choose: random.Random) -> None:
    """Runs a poison task, and replaces the worker that it kills."""
    async with duetime_client.AsyncClient(made.target) as client:
        await _create(client, "poison", choose)
    ended = [asyncio.create_task(worker.ended()) for worker in made.workers]
    incidents = [made.note("killed", worker) for worker in made.workers]
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for worker, ending, incident in zip(tuple(made.workers), ended, incidents, strict=True):
        if ending.done():
            made.workers.remove(worker)
        else:
            ending.cancel()
            made.incidents.remove(incident)
    await made.start_workers(1)


async def run_endless(made: world.World, choose: random.Random) -> None:
    """Terminates a worker whose handler does not end, and starts another one."""
    async with duetime_client.AsyncClient(made.target) as client:
        task_id = await _create(client, "endless", choose)
        started = await _insist(lambda: clients.reached(client, task_id, "started"))
        pids = [worker.pid for worker in made.workers]
        await made.terminate_worker(pids.index(rules_of_runs.pid_of(started.actor)))
        with contextlib.suppress(duetime_client.errors.TaskFinished):  # its lease was lost, and it has no retries
            await _insist(lambda: client.cancel(task_id))
    await made.start_workers(1)


async def leave_a_watch_unread(made: world.World, choose: random.Random) -> None:
    """Opens a watch for a while without reading from it."""
    server = choose.choice(made.servers)
    async with grpc.aio.insecure_channel(server.address, [("grpc.http2.bdp_probe", 0)]) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        unread = stub.WatchTasks(task_service_pb2.WatchTasksRequest())
        with contextlib.suppress(grpc.aio.AioRpcError):  # the database may be unavailable
            await unread.read()
        await asyncio.sleep(choose.uniform(1, 5))
        unread.cancel()


async def flood(made: world.World, choose: random.Random) -> None:
    """Creates thousands of tasks due at the same moment."""
    async with duetime_client.AsyncClient(made.target) as client:
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
        news = [duetime_client.NewTask("chaos", moment, {"token": 0})] * choose.randint(1000, 5000)
        await _insist(lambda: client.create_many(news))


async def copy_each_wakeup(made: world.World, choose: random.Random) -> None:
    """Copies each wakeup nine times."""
    await copy_wakeups(made, seconds=choose.uniform(1, 5))


async def copy_wakeups(made: world.World, *, seconds: float) -> int:
    """Copies each wakeup nine times under other names, for that long; returns the number of copies."""
    copies = 0
    until = clock.now() + seconds
    async with redis.asyncio.Redis(unix_socket_path=str(made.redis_path)) as connection:
        while clock.now() < until:
            for queue in world.QUEUES:
                for job_id, score in await connection.zrange(
                    names.Names().wakeups(namespace.DEFAULT, queue), 0, -1, withscores=True
                ):
                    if b"copy" in job_id or (job := await connection.get(b"arq:job:" + job_id)) is None:
                        continue
                    for number in range(9):
                        copy = job_id + b":copy" + str(number).encode()
                        await connection.psetex(b"arq:job:" + copy, 60_000, job)
                        await connection.zadd(names.Names().wakeups(namespace.DEFAULT, queue), {copy: score})
                        copies += 1
            await asyncio.sleep(0.005)
    return copies


async def _create(client: duetime_client.AsyncClient, name: str, choose: random.Random) -> int:
    queue, request_id = choose.choice(world.QUEUES), f"{name}-{choose.random()}"  # so that it is created once
    moment = datetime.datetime.now(datetime.UTC)
    options: dict[str, Any] = {"queue": queue, "max_retries": 0, "request_id": request_id}
    return await _insist(lambda: client.create(name, moment, {"token": 0}, **options))


_Answer = TypeVar("_Answer")


async def _insist(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Retries the call until it succeeds, because another fault may interfere."""
    while True:
        try:
            return await call()
        except (duetime_client.errors.Unavailable, duetime_client.errors.DeadlineExceeded):
            await asyncio.sleep(0.5)


ALL: tuple[tuple[Fault, ...], ...] = (
    (
        kill_a_worker,
        kill_all_workers,
        replace_a_worker,
        pause_a_worker,
        crash_a_worker,
        run_by_a_wrong_clock,
        run_poison,
        run_endless,
    ),
    (crash_a_server, kill_a_server, kill_the_edge, leave_a_watch_unread),
    (kill_redis, empty_redis, cut_redis, copy_each_wakeup, flood),
    (
        kill_postgres,
        kill_postgres_after_rollbacks,
        cut_postgres,
        freeze_postgres,
        silence_postgres,
        lock_running_tasks,
        hold_a_snapshot,
    ),
)
"""By the parts they affect: faults of different groups may be injected at the same time."""
