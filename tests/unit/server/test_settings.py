"""The settings of a server."""

import pytest

from duetime_server import listening, settings


def test_a_server_listens_on_this_machine_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", "postgresql://localhost/duetime")
    monkeypatch.setenv("DUETIME_REDIS_URL", "redis://localhost")
    monkeypatch.delenv("DUETIME_LISTEN", raising=False)
    assert settings.Settings.read().listen == "127.0.0.1:50051"


def test_a_malformed_address_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", "postgresql://localhost/duetime")
    monkeypatch.setenv("DUETIME_REDIS_URL", "redis://localhost")
    monkeypatch.setenv("DUETIME_LISTEN", "nowhere")
    with pytest.raises(SystemExit, match=f"DUETIME_LISTEN: {listening.FORM}"):
        settings.Settings.read()
