"""What the server and the workers know of a built-in handler."""

import dataclasses
import datetime

import pydantic

from duetime_core.model import task


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A built-in handler: what its tasks are called, what they hold, and how they run unless they say otherwise."""

    name: str
    model: type[pydantic.BaseModel]
    """What task_data is validated into."""
    retries: task.Retries
    """The default for each field that a task does not give."""
    timeout: datetime.timedelta
    """The default for tasks that give none."""
    max_timeout: datetime.timedelta
    """The longest that a task may give."""
