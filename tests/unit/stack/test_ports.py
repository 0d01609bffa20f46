"""Ports that Envoy is to listen on."""

import socket

import pytest

from duetime_stack import errors, ports


def test_a_port_that_only_root_may_listen_on_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(errors.StackError, match=r"no permission to listen on port 80; choose a port from 1024 up"):
        ports.require_free("127.0.0.1", 80)


def test_a_taken_port_is_called_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(errors.StackError, match="is in use"):
        ports.require_free("127.0.0.1", listener.getsockname()[1])
