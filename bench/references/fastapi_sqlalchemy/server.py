"""POST /api/tasks with FastAPI and SQLAlchemy, a session and a commit each: `server.py DATABASE_URL PORT`."""

import contextlib
import datetime
import pathlib
import sys
from collections.abc import AsyncIterator
from typing import Any

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import fastapi
import pydantic
import sqlalchemy_model
import uvicorn


class NewTask(pydantic.BaseModel):
    """The request."""

    name: str = pydantic.Field(min_length=1, max_length=255)
    execution_time: pydantic.AwareDatetime
    task_data: dict[str, Any] = {}
    max_retries: int = pydantic.Field(default=3, ge=0, le=1000)


class Created(pydantic.BaseModel):
    """The response."""

    task_id: int


def make_app(database_url: str) -> fastapi.FastAPI:
    """Returns the application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        app.state.sessions = await sqlalchemy_model.connect(database_url)
        yield

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.post("/api/tasks")
    async def create_task(new: NewTask) -> Created:
        task = sqlalchemy_model.Task(
            name=new.name,
            execution_time=new.execution_time.astimezone(datetime.UTC),
            task_data=new.task_data,
            max_retries=new.max_retries,
        )
        async with app.state.sessions() as session:
            session.add(task)
            await session.commit()
        return Created(task_id=task.task_id)

    return app


class Server(uvicorn.Server):
    """A uvicorn server that prints a line once it serves."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Starts listening."""
        await super().startup(sockets)
        sys.stdout.write("serving\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Server(
        uvicorn.Config(
            make_app(sys.argv[1]),
            port=int(sys.argv[2]),
            loop="uvloop",
            http="httptools",
            log_level="warning",
            access_log=False,
        )
    ).run()
