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


def test_edges_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", "postgresql://localhost/duetime")
    monkeypatch.setenv("DUETIME_REDIS_URL", "redis://localhost")
    assert settings.Settings.read().edges == []
    monkeypatch.setenv("DUETIME_EDGES", "127.0.0.1, ::1,10.1.0.0/16")
    assert [str(edge) for edge in settings.Settings.read().edges] == ["127.0.0.1/32", "::1/128", "10.1.0.0/16"]
    for wrong in ("localhost", "10.1.0.1/16", "127.0.0.1:80", "*"):
        monkeypatch.setenv("DUETIME_EDGES", wrong)
        with pytest.raises(SystemExit, match="DUETIME_EDGES: must be IP addresses or networks, separated by commas"):
            settings.Settings.read()
