"""Idle: the CPU and memory that each process uses without any task.

One server, one worker, Envoy, PostgreSQL and Valkey, with default settings. CPU is the kernel's CPU time in percent of
one core; for PostgreSQL it includes all its processes, also those that exited meanwhile. Memory is the resident set
size (RSS). PostgreSQL's processes share most of their memory, so theirs is the sum of their unique set sizes (USS).
"""

import asyncio
import time

import psutil

from bench import harness, report

SECONDS, TINY_SECONDS = 30.0, 2.0
_SETTLED_SECONDS, _TINY_SETTLED_SECONDS = 5.0, 0.5
"""Time for the processes to finish starting."""

GOAL = report.Goal(5, 2)


async def run(session: harness.Session, results: report.Report) -> None:
    """Measures all processes at once."""
    for _ in range(session.rounds):
        async with session.deployment() as deployment:
            server = await deployment.start_server()
            await deployment.start_workers(1)
            await deployment.start_edge()
            pids = {"server": server.pid, "worker": deployment.workers[0].pid, **deployment.pids}
            await asyncio.sleep(_TINY_SETTLED_SECONDS if session.is_tiny else _SETTLED_SECONDS)
            used = await _used(pids, TINY_SECONDS if session.is_tiny else SECONDS)
            memory = {name: _resident(pid) for name, pid in pids.items() if name != "PostgreSQL"}
            memory["PostgreSQL, not shared"] = _unshared(pids["PostgreSQL"])
        results.add("CPU, server and worker", used["server"] + used["worker"], "% of a core", goal=GOAL)
        for name, percent in used.items():
            results.add(f"CPU, {name}", percent, "% of a core")
        for name, size in memory.items():
            results.add(f"memory, {name}", size / 1e6, "MB")


async def _used(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Returns the CPU usage of each process over `seconds`, in percent of a core."""
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
    """Returns the CPU time of a process and its children, including those that have exited."""
    times = [process.cpu_times() for process in _family(pid)]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def _resident(pid: int) -> int:
    return sum(process.memory_info().rss for process in _family(pid))


def _unshared(pid: int) -> int:
    return sum(process.memory_full_info().uss for process in _family(pid))
