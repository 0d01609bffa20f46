"""A table of tasks and a session factory, as usual with SQLAlchemy's ORM."""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

POOL_SIZE = 20


class Base(orm.DeclarativeBase):
    """The declarative base."""


class Task(Base):
    """A task."""

    __tablename__ = "tasks"

    task_id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.Text)
    status: orm.Mapped[str] = orm.mapped_column(sa.Text, default="pending")
    execution_time: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    task_data: orm.Mapped[dict[str, Any]] = orm.mapped_column(postgresql.JSONB)
    retry_count: orm.Mapped[int] = orm.mapped_column(default=0)
    max_retries: orm.Mapped[int] = orm.mapped_column(default=3)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )


Sessions = sqlalchemy_asyncio.async_sessionmaker[sqlalchemy_asyncio.AsyncSession]


async def connect(database_url: str) -> Sessions:
    """Creates the table in an empty database, and returns a session factory."""
    url = sa.make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = sqlalchemy_asyncio.create_async_engine(
        url, pool_size=POOL_SIZE, max_overflow=0, connect_args={"ssl": False}
    )
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return sqlalchemy_asyncio.async_sessionmaker(engine, expire_on_commit=False)
