"""Settings come from the environment, and errors name the variable."""

import pydantic
import pytest

from duetime_core.process import settings


class More(settings.Settings):
    """As a process of ours has them."""

    concurrency: int = pydantic.Field(default=10, ge=1)


def test_settings_have_defaults_and_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUETIME_DATABASE_URL", raising=False)
    monkeypatch.setenv("DUETIME_REDIS_URL", "redis://elsewhere/7")
    read = settings.Settings.read()
    assert read.database_url == "postgresql://postgres@127.0.0.1:5432/duetime"
    assert read.redis_url == "redis://elsewhere/7"


@pytest.mark.parametrize("given", ["many", "0", ""])
def test_a_variable_that_is_wrong_ends_the_process_with_its_name(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DUETIME_CONCURRENCY", given)
    with pytest.raises(SystemExit, match=r"^DUETIME_CONCURRENCY: "):
        More.read()


@pytest.mark.parametrize("given", ["postgresql://ada:S3cret@h:http/db", "postgresql://ada:pa@S3cret@h/db", "S3cret"])
def test_an_address_that_is_wrong_is_not_quoted(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", given)
    monkeypatch.setenv("DUETIME_REDIS_URL", given)
    with pytest.raises(SystemExit) as raised:
        settings.Settings.read()
    lines = str(raised.value).splitlines()
    assert [line.partition(": must be a URL such as ")[0] for line in lines] == [
        "DUETIME_DATABASE_URL",
        "DUETIME_REDIS_URL",
    ]
    assert "S3cret" not in str(raised.value)
