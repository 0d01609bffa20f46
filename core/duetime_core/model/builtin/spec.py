"""The specification of a built-in handler, as the server and the workers use it."""

import dataclasses
import datetime

import pydantic

from duetime_core.model import task


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A built-in handler: its name, its task_data, and the defaults of its tasks."""

    name: str
    model: type[pydantic.BaseModel]
    """The model that task_data is validated with."""
    retries: task.Retries
    """The default of each field that a task does not set."""
    timeout: datetime.timedelta
    """The default for tasks that set none."""
    max_timeout: datetime.timedelta
    """The longest timeout that a task may set."""
