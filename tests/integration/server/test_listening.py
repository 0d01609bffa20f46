"""Servers at unix sockets."""

import pathlib

import pytest

import duetime_client
from tests.support import clients, processes


async def create(address: str) -> int:
    async with duetime_client.AsyncClient(address) as client:
        return await client.create("noop", clients.NOW, {})


async def test_a_server_replaces_the_socket_of_a_killed_one(
    start: processes.Starter, short_directory: pathlib.Path
) -> None:
    address = f"unix:{short_directory}/killed.sock"
    first = await start.server(address=address)
    before = await create(address)
    await first.kill()
    assert (short_directory / "killed.sock").is_socket()
    await start.server(address=address)
    assert await create(address) > before


async def test_a_server_does_not_replace_a_socket_in_use_or_another_file(
    start: processes.Starter, short_directory: pathlib.Path
) -> None:
    address = f"unix:{short_directory}/living.sock"
    await start.server(address=address)
    with pytest.raises(AssertionError, match=r"DUETIME_LISTEN: cannot listen on unix:.*: another server listens at /"):
        await start.server(address=address)
    assert await create(address)
    (short_directory / "file").write_text("mine")
    with pytest.raises(AssertionError, match=r"DUETIME_LISTEN: cannot listen on unix:.*/file is not a socket"):
        await start.server(address=f"unix:{short_directory}/file")
    assert (short_directory / "file").read_text() == "mine"


async def test_a_taken_port_is_named(start: processes.Starter) -> None:
    server = await start.server()
    with pytest.raises(AssertionError, match=f"DUETIME_LISTEN: cannot listen on {server.address}"):
        await start.server(address=server.address)


@pytest.mark.parametrize("address", ["", "50051", "unix:", "unix:relative", f"unix:/{'d' * 107}", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_refused_in_one_line(start: processes.Starter, address: str) -> None:
    with pytest.raises(AssertionError, match=r"DUETIME_LISTEN: must be host:port, such as"):
        await start.server(listen=address)
