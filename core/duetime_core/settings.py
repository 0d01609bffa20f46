"""Settings from environment variables. Made in a `__main__`, and handed on from there."""

import pydantic_settings


class Settings(pydantic_settings.BaseSettings):
    """What every process needs to know."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix="DUETIME_")

    database_url: str = "postgresql://postgres@127.0.0.1:5432/duetime"
    redis_url: str = "redis://127.0.0.1:6379/0"
