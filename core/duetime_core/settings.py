"""Settings from environment variables. Made in a `__main__`, and handed on from there."""

import sys
from typing import Self

import pydantic
import pydantic_settings

PREFIX = "DUETIME_"


class Settings(pydantic_settings.BaseSettings):
    """What every process needs to know."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix=PREFIX)

    database_url: str = "postgresql://postgres@127.0.0.1:5432/duetime"
    redis_url: str = "redis://127.0.0.1:6379/0"

    @classmethod
    def read(cls) -> Self:
        """Reads the environment; ends the process, naming each variable that is wrong, if one is."""
        try:
            return cls()
        except pydantic.ValidationError as error:
            sys.exit("\n".join(f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()))


def _variable(location: tuple[str | int, ...]) -> str:
    return PREFIX + "_".join(map(str, location)).upper()
