"""Checks of the port that Envoy listens on."""

import socket

import pytest

from duetime_stack import errors, ports


def test_a_privileged_port_is_not_reported_as_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(errors.StackError, match=r"no permission to listen on port 80; choose a port from 1024 up"):
        ports.require_free("127.0.0.1", 80)


def test_a_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(errors.StackError, match="is in use"):
        ports.require_free("127.0.0.1", listener.getsockname()[1])
