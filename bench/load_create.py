"""`python -m bench.load_create`: creates tasks over gRPC with a number of calls in flight, and prints the rate.

It sends the same bytes repeatedly and parses the responses only at the end, so that it costs little CPU itself. So the
tasks have no request_id, which Duetime's own client always sends, and which costs one more index entry.
"""

import argparse
import asyncio
import dataclasses
import datetime
import json
import sys
import time
from typing import TypeAlias

import grpc.aio
import uvloop

from bench import percentiles
from duetime.v1 import task_service_pb2

DUE = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
TASK_DATA = {"to": "ada@example.com", "subject": "hello"}

_Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
_SERVICE = "duetime.v1.TaskService"


@dataclasses.dataclass(frozen=True)
class _Call:
    began: float
    ended: float
    answer: bytes


def _payload(batch: int) -> bytes:
    message = task_service_pb2.CreateTaskRequest(name="noop")
    message.execution_time.FromDatetime(DUE)
    message.task_data.update(TASK_DATA)
    if not batch:
        return message.SerializeToString()
    return task_service_pb2.BatchCreateTasksRequest(requests=[message] * batch).SerializeToString()


def _task_ids(answer: bytes, batch: int) -> list[int]:
    if not batch:
        return [task_service_pb2.CreateTaskResponse.FromString(answer).task_id]
    return list(task_service_pb2.BatchCreateTasksResponse.FromString(answer).task_ids)


async def _call_until(end: float, call: _Method, payload: bytes, calls: list[_Call]) -> None:
    while (began := time.perf_counter()) < end:
        answer = await call(payload)
        calls.append(_Call(began, time.perf_counter(), answer))


async def _load(chosen: argparse.Namespace) -> dict[str, float]:
    payload = _payload(chosen.batch)
    calls: list[_Call] = []
    async with grpc.aio.insecure_channel(chosen.address) as channel:
        call: _Method = channel.unary_unary(f"/{_SERVICE}/{'BatchCreateTasks' if chosen.batch else 'CreateTask'}")
        await channel.channel_ready()
        begin = time.perf_counter() + chosen.warm_up
        end = begin + chosen.seconds
        await asyncio.gather(*(_call_until(end, call, payload, calls) for _ in range(chosen.in_flight)))
    tasks = [task_id for each in calls for task_id in _task_ids(each.answer, chosen.batch)]
    if not len(set(tasks)) == len(tasks) == len(calls) * (chosen.batch or 1):
        raise AssertionError(f"{len(calls)} calls returned {len(tasks)} task_ids, {len(set(tasks))} of them distinct")
    milliseconds = [1000 * (each.ended - each.began) for each in calls if begin <= each.ended < end]
    return {
        "tasks": len(tasks),
        "rate": len(milliseconds) / chosen.seconds,
        "p50": percentiles.of(milliseconds, 50),
        "p99": percentiles.of(milliseconds, 99),
    }


def main() -> None:
    """Reads the command line and creates tasks."""
    parser = argparse.ArgumentParser("python -m bench.load_create")
    parser.add_argument("address")
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument(
        "--batch", type=int, default=0, help="tasks per call; 0: CreateTask instead of BatchCreateTasks"
    )
    parser.add_argument("--warm-up", type=float, required=True, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, required=True, help="seconds of the measurement")
    sys.stdout.write(json.dumps(uvloop.run(_load(parser.parse_args()))))


if __name__ == "__main__":
    main()
