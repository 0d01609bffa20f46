"""Envoy alone, configured as in a stack, in front of a test's own servers."""

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import yaml

from duetime_stack import allowlist, edge, layout, rates
from tests.support import processes


@contextlib.asynccontextmanager
async def running(
    directory: pathlib.Path,
    *servers: str,
    allowed: allowlist.Allowlist | None = None,
    limits: rates.Rates | None = None,
    adjust: Callable[[dict[str, Any]], None] | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Runs an Envoy in front of the servers, and yields an HTTP client of it.

    `adjust` may change its configuration, for example to shorten timeouts.
    """
    paths = layout.Layout(directory)
    paths.create()
    port = processes.free_port()
    program = edge.make_program(paths, "127.0.0.1", port, servers, allowed, limits=limits)
    if adjust is not None:
        configuration = paths.run / "envoy.yaml"
        bootstrap = yaml.safe_load(configuration.read_text())
        adjust(bootstrap)
        configuration.write_text(yaml.safe_dump(bootstrap))
    *command, _ = program.command
    process = await processes.launch(*command, "info", environment=dict(os.environ))  # logs when it listens
    try:
        await process.wait_for_log("starting workers")
        transport = httpx.AsyncHTTPTransport(retries=5)  # the listeners start a moment later
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.terminate()
        await process.ended()
