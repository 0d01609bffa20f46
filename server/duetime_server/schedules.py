"""ScheduleService: each rpc reads its request, calls the store, and writes its answer."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import schedule_service_pb2_grpc
from duetime_core import doorbell


class ScheduleService(schedule_service_pb2_grpc.ScheduleServiceServicer):
    """The servicer. Errors are turned into statuses by `failures`."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell) -> None:
        self._engine = engine
        self._bell = bell
