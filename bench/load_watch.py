"""`python -m bench.load_watch`: opens a WatchTask stream for each task_id in the JSON list on its standard input.

It prints `ready` when each stream has delivered its first event. When each has delivered the requested number of
changes, it prints how many of the selected kinds there were, and their age in milliseconds when Python received them.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import grpc.aio
import uvloop

from bench import percentiles
from duetime.v1 import task_service_pb2

_METHOD = "/duetime.v1.TaskService/WatchTask"
_STREAMS_PER_CHANNEL = 100
_OPENING = 100
# Channels to one address would otherwise share a connection.
_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


class _Watches:
    """All streams."""

    def __init__(self, count: int, changes: int, kinds: list[str]) -> None:
        self.ages: list[float] = []
        self._changes = changes
        self._kinds = kinds
        self._opening = asyncio.Semaphore(_OPENING)
        self._to_open = count
        self._opened = asyncio.Event()

    async def opened(self) -> None:
        """Returns once each stream has delivered its first event."""
        await self._opened.wait()

    async def watch(self, open_stream: Any, task_id: int) -> None:
        """Reads one stream until it has delivered all its changes."""
        async with self._opening:
            stream = open_stream(task_service_pb2.WatchTaskRequest(task_id=task_id))
            await self._read(stream)
        self._to_open -= 1
        if not self._to_open:
            self._opened.set()
        changes = 0
        while changes < self._changes:
            event = await self._read(stream)
            now = time.time()
            if event.HasField("change"):
                changes += 1
                if event.change.change in self._kinds:
                    self.ages.append(1000 * now - event.change.timestamp.ToNanoseconds() / 1e6)
        stream.cancel()

    async def _read(self, stream: Any) -> task_service_pb2.TaskEvent:
        event = await stream.read()
        if not isinstance(event, task_service_pb2.TaskEvent):
            raise AssertionError("a stream ended before it had delivered all changes")
        return event


async def _load(chosen: argparse.Namespace, task_ids: list[int]) -> dict[str, float]:
    watches = _Watches(len(task_ids), chosen.changes, chosen.kinds)
    channels = [
        grpc.aio.insecure_channel(chosen.address, options=_OPTIONS)
        for _ in range(0, len(task_ids), _STREAMS_PER_CHANNEL)
    ]
    methods = [
        channel.unary_stream(
            _METHOD,
            request_serializer=task_service_pb2.WatchTaskRequest.SerializeToString,
            response_deserializer=task_service_pb2.TaskEvent.FromString,
        )
        for channel in channels
    ]
    async with asyncio.TaskGroup() as group:
        for number, task_id in enumerate(task_ids):
            group.create_task(watches.watch(methods[number % len(methods)], task_id))
        await watches.opened()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    await asyncio.gather(*(channel.close() for channel in channels))
    return {
        "changes": len(watches.ages),
        "p50": percentiles.of(watches.ages, 50),
        "p99": percentiles.of(watches.ages, 99),
        "last": max(watches.ages),
    }


def main() -> None:
    """Reads the command line and the tasks, and watches."""
    parser = argparse.ArgumentParser("python -m bench.load_watch")
    parser.add_argument("address")
    parser.add_argument("--changes", type=int, required=True, help="changes to wait for after a stream's first event")
    parser.add_argument("--kinds", nargs="+", required=True, help="kinds of change to measure, such as `started`")
    sys.stdout.write(json.dumps(uvloop.run(_load(parser.parse_args(), json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
