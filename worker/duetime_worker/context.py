"""What all parts of a worker share."""

import dataclasses
import datetime

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.process import outage
from duetime_core.redis import doorbell


@dataclasses.dataclass(frozen=True)
class Context:
    """The worker's id and lease, and its connections."""

    worker_id: str
    engine: sqlalchemy_asyncio.AsyncEngine
    bell: doorbell.Doorbell
    lease: datetime.timedelta
    database_outage: outage.Outage
