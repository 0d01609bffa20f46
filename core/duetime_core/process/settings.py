"""Settings from environment variables. A `__main__` reads them and passes them on."""

import datetime
import re
import sys
from typing import Annotated, Self

import pydantic
import pydantic_settings

from duetime_core.process import urls

PREFIX = "DUETIME_"
_REDIS_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# At least an hour, so that a typing error does not delete everything; at most what PostgreSQL can subtract from now.
Retention = Annotated[
    datetime.timedelta, pydantic.Field(ge=datetime.timedelta(hours=1), le=datetime.timedelta(days=36_500))
]


def entries(value: str) -> list[str]:
    """Returns the entries of a comma-separated value."""
    return [entry.strip() for entry in value.split(",") if entry.strip()]


class Variables(pydantic_settings.BaseSettings):
    """Settings read from variables with a common prefix."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True)

    @classmethod
    def read(cls) -> Self:
        """Reads the environment. Exits the process, naming each invalid variable, if there is one."""
        try:
            return cls()
        except pydantic.ValidationError as error:
            prefix = cls.model_config["env_prefix"]
            # The messages only: the given value may be a secret.
            problems = ((problem["loc"], problem["msg"].removeprefix("Value error, ")) for problem in error.errors())
            sys.exit("\n".join(f"{_variable(prefix, location)}: {message}" for location, message in problems))


def _check_prefix(prefix: str) -> str:
    if not _REDIS_PREFIX.fullmatch(prefix):
        raise ValueError("must be 1 to 64 letters, digits, '-', '_' or '.', such as duetime-staging")
    return prefix


class DatabaseSettings(Variables):
    """The settings of a process that uses the database alone, as the migrations do."""

    database_url: Annotated[str, pydantic.AfterValidator(urls.check_postgres)] = (
        "postgresql://postgres@127.0.0.1:5432/duetime"
    )


class Settings(DatabaseSettings):
    """The settings that servers and workers share."""

    redis_url: Annotated[str, pydantic.AfterValidator(urls.check_redis)] = "redis://127.0.0.1:6379/0"
    redis_prefix: Annotated[str, pydantic.AfterValidator(_check_prefix)] = "duetime"
    """How all names in Redis begin. Deployments that share a Redis need different ones."""


def _variable(prefix: str, location: tuple[str | int, ...]) -> str:
    return prefix + "_".join(map(str, location)).upper()
