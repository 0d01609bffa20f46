"""Idle: what each process costs while there is nothing to do.

One server, one worker, Envoy, PostgreSQL and Valkey, with the default settings and without a task. What they use of the
CPU is the time that the kernel counted for them, in percent of one core; PostgreSQL's is that of all its processes,
those that ended meanwhile included. Memory is what is resident (RSS). PostgreSQL's processes share most of theirs, so
for them it is the sum of what each has alone (USS).
"""

import asyncio
import time

import psutil

from bench import harness, report

SECONDS, TINY_SECONDS = 30.0, 2.0
_SETTLED_SECONDS, _TINY_SETTLED_SECONDS = 5.0, 0.5
"""What they do when they start is over by then."""

GOAL = report.Goal(5, 2)


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures all of them at once."""
    for _ in range(session.rounds):
        async with session.deployment() as deployment:
            server = await deployment.start_server()
            await deployment.start_workers(1)
            await deployment.start_edge()
            pids = {"server": server.pid, "worker": deployment.workers[0].pid, **deployment.pids}
            await asyncio.sleep(_TINY_SETTLED_SECONDS if session.is_tiny else _SETTLED_SECONDS)
            used = await _used(pids, TINY_SECONDS if session.is_tiny else SECONDS)
            memory = {name: _resident(pid) for name, pid in pids.items() if name != "PostgreSQL"}
            memory["PostgreSQL, without what its processes share"] = _unshared(pids["PostgreSQL"])
        results.add("CPU, server and worker together", used["server"] + used["worker"], "% of a core", goal=GOAL)
        for name, percent in used.items():
            results.add(f"CPU, {name}", percent, "% of a core")
        for name, size in memory.items():
            results.add(f"memory, {name}", size / 1e6, "MB")


async def _used(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Returns how many percent of a core each used in so many seconds."""
    began = time.monotonic()
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    after = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    passed = time.monotonic() - began
    return {name: 100 * (after[name] - before[name]) / passed for name in pids}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process and its children: those that live, and those that ended."""
    times = [process.cpu_times() for process in _family(pid)]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def _resident(pid: int) -> int:
    return sum(process.memory_info().rss for process in _family(pid))


def _unshared(pid: int) -> int:
    return sum(process.memory_full_info().uss for process in _family(pid))
