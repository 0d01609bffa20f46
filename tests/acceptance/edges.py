"""Envoy alone, configured as in a stack, in front of servers of a test's own."""

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator

import httpx

from duetime_stack import edge, layout
from tests import processes


@contextlib.asynccontextmanager
async def running(directory: pathlib.Path, *server_ports: int) -> AsyncIterator[httpx.AsyncClient]:
    """Lends an HTTP client of an Envoy in front of the servers on these ports."""
    places = layout.Layout(directory)
    places.make()
    port = processes.free_port()
    program = edge.make_program(places, "127.0.0.1", port, server_ports)
    *command, _ = program.command
    process = await processes.launch(*command, "info", environment=dict(os.environ))  # its log says that it listens
    try:
        await process.wait_for_log("starting workers")
        transport = httpx.AsyncHTTPTransport(retries=5)  # they take a moment to listen
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.terminate()
        await process.ended()
