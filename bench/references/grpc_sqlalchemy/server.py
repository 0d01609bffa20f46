"""CreateTask with grpc.aio and SQLAlchemy, a session and a commit each: `server.py DATABASE_URL PORT`."""

import asyncio
import datetime
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
# Duetime's contract, so that the same load generator works for both.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "proto"))

import grpc.aio
import sqlalchemy_model
import uvloop
from google.protobuf import json_format

from duetime.v1 import task_service_pb2, task_service_pb2_grpc


class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """Creates tasks only."""

    def __init__(self, sessions: sqlalchemy_model.Sessions) -> None:
        self._sessions = sessions

    async def CreateTask(  # noqa: N802 - the generated servicer's name
        self, request: task_service_pb2.CreateTaskRequest, context: grpc.aio.ServicerContext
    ) -> task_service_pb2.CreateTaskResponse:
        """Inserts a row and commits."""
        if not request.name:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name: must not be empty")
        task = sqlalchemy_model.Task(
            name=request.name,
            execution_time=request.execution_time.ToDatetime(tzinfo=datetime.UTC),
            task_data=json_format.MessageToDict(request.task_data),
            max_retries=request.max_retries if request.HasField("max_retries") else 3,
        )
        async with self._sessions() as session:
            session.add(task)
            await session.commit()
        return task_service_pb2.CreateTaskResponse(task_id=task.task_id)


async def serve(database_url: str, port: str) -> None:
    """Serves until it is killed."""
    server = grpc.aio.server()
    service = TaskService(await sqlalchemy_model.connect(database_url))
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(service, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
