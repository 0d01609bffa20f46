"""Settings from environment variables. A `__main__` reads them and passes them on."""

import sys
from typing import Annotated, Self

import pydantic
import pydantic_settings

from duetime_core.process import urls

PREFIX = "DUETIME_"


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


class DatabaseSettings(Variables):
    """The settings of a process that uses the database alone, as the migrations do."""

    database_url: Annotated[str, pydantic.AfterValidator(urls.check_postgres)] = (
        "postgresql://postgres@127.0.0.1:5432/duetime"
    )


class Settings(DatabaseSettings):
    """The settings that servers and workers share."""

    redis_url: Annotated[str, pydantic.AfterValidator(urls.check_redis)] = "redis://127.0.0.1:6379/0"


def _variable(prefix: str, location: tuple[str | int, ...]) -> str:
    return prefix + "_".join(map(str, location)).upper()
