"""The reports that Generate Report makes, as task_data describes them."""

import datetime
from typing import Annotated, Literal

import pydantic

from duetime_core.model import recurrence
from duetime_core.model.builtin import mail

MAX_PERIOD = datetime.timedelta(days=3660)
"""A chart has a bar for each day: centuries of them would cost a worker time and memory."""


def _known_zone(name: str) -> str:
    recurrence.zone(name)
    return name


class Between(pydantic.BaseModel, extra="forbid"):
    """From one moment on, and before another."""

    start_time: pydantic.AwareDatetime
    end_time: pydantic.AwareDatetime

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Between":
        if self.end_time <= self.start_time:
            raise ValueError("end_time must be after start_time")
        if self.end_time - self.start_time > MAX_PERIOD:
            raise ValueError("end_time must be at most ten years after start_time")
        return self


class Filter(pydantic.BaseModel, extra="forbid"):
    """Which tasks to include; None matches all."""

    queue: str | None = None
    name: str | None = None


class Report(pydantic.BaseModel, extra="forbid"):
    """The task_data of Generate Report."""

    period: Annotated[
        Annotated[Literal["last_day", "last_week"], pydantic.Tag("(named)")]
        | Annotated[Between, pydantic.Tag("(between)")],
        pydantic.Discriminator(lambda given: "(between)" if isinstance(given, dict | Between) else "(named)"),
    ] = "last_day"
    """The last full calendar day, or week from Monday, before the task was due."""
    time_zone: Annotated[str, pydantic.AfterValidator(_known_zone)] = "UTC"
    """The IANA name of the zone of these days and of the times in the report."""
    filter: Filter = Filter()
    title: Annotated[str, pydantic.Field(min_length=1, max_length=200), pydantic.AfterValidator(mail.one_line)] = (
        "Duetime report"
    )
    email: mail.Recipients | None = None
    """The recipients: one address or several."""
