"""Settings from environment variables. Made in a `__main__`, and handed on from there."""

import sys
from typing import Annotated, Self

import pydantic
import pydantic_settings

from duetime_core.process import urls

PREFIX = "DUETIME_"


class Variables(pydantic_settings.BaseSettings):
    """Variables whose names begin alike."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True)

    @classmethod
    def read(cls) -> Self:
        """Reads the environment; ends the process, naming each variable that is wrong, if one is."""
        try:
            return cls()
        except pydantic.ValidationError as error:
            prefix = cls.model_config["env_prefix"]
            # Their messages only: what was given may be a secret.
            problems = ((problem["loc"], problem["msg"].removeprefix("Value error, ")) for problem in error.errors())
            sys.exit("\n".join(f"{_variable(prefix, location)}: {message}" for location, message in problems))


class DatabaseSettings(Variables):
    """What a process needs to know that uses the database alone, as the migrations do."""

    database_url: Annotated[str, pydantic.AfterValidator(urls.check_postgres)] = (
        "postgresql://postgres@127.0.0.1:5432/duetime"
    )


class Settings(DatabaseSettings):
    """What servers and workers need to know."""

    redis_url: Annotated[str, pydantic.AfterValidator(urls.check_redis)] = "redis://127.0.0.1:6379/0"


def _variable(prefix: str, location: tuple[str | int, ...]) -> str:
    return prefix + "_".join(map(str, location)).upper()
