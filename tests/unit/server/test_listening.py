"""Which addresses a server may listen on, and which files it removes for one."""

import pathlib
import socket

import pytest

from duetime_server import listening


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "[::1]:0", "unix:/run/d.sock", "unix:///run/d.sock"])
def test_a_port_or_a_path_is_an_address(address: str) -> None:
    assert listening.check(address) == address


@pytest.mark.parametrize("address", ["", "50051", "host:", "host:65536", "unix:relative", f"unix:/{'x' * 107}"])
def test_anything_else_is_refused_with_the_right_form(address: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        listening.check(address)


def test_only_a_socket_without_a_server_is_removed(short_directory: pathlib.Path) -> None:
    path = short_directory / "d.sock"
    listening.clear(f"unix:{path}")  # there is none yet
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(FileExistsError, match="another server listens at"):
            listening.clear(f"unix:{path}")
    listening.clear(f"unix:{path}")
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is not a socket"):
        listening.clear(f"unix:{path}")
