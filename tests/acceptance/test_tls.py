"""A stack with a certificate and keys: encrypted REST and gRPC, and certificates that are renewed while it serves."""

import asyncio
import os
import pathlib
import ssl

import httpx
import pytest
import trustme

import duetime_client
from duetime_stack import allowlist, edge, layout, tls
from tests.acceptance import commands
from tests.support import certificates, processes, stacks

pytestmark = pytest.mark.timeout(240)
SECONDS = 30


async def test_a_stack_with_keys_and_a_certificate_serves_rest_and_grpc(open_directory: pathlib.Path) -> None:
    authority = trustme.CA()
    files = certificates.files(open_directory, authority)
    stack = await stacks.start(open_directory / "stack", *files.flags, demands_keys=True)
    try:
        assert stack.url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(
            base_url=stack.url, verify=certificates.context(authority), timeout=SECONDS
        ) as rest:
            refused = await rest.get("/api/tasks")
            assert (refused.status_code, refused.json()["details"][0]["reason"]) == (401, "CREDENTIALS_MISSING")
            admin_key = await stack.process.wait_for_log("  admin key   ")
            assert admin_key == f"  admin key   {stack.data_dir}/admin.key"
            assert (stack.data_dir / "admin.address").read_text() == f"{stack.address}\n"
            assert (stack.data_dir / "admin.key").stat().st_mode & 0o777 == 0o600
            key = (stack.data_dir / "admin.key").read_text().strip().removeprefix("authorization: Bearer ")
            rest.headers["authorization"] = f"Bearer {key}"
            assert (await rest.get("/api/tasks")).json() == {"tasks": [], "next_page_token": ""}
            own = {"origin": stack.url, "sec-fetch-site": "same-origin"}
            assert (await rest.get("/api/tasks", headers=own)).status_code == 200
            assert "strict-transport-security" not in refused.headers  # it would apply to all ports of the host
        ca = certificates.ca_file(authority, open_directory)
        async with duetime_client.AsyncClient(stack.url, api_key=key, ca=ca) as client:
            assert [task async for task in client.list()] == []
        async with duetime_client.AsyncClient(stack.address) as plain_client:
            with pytest.raises(duetime_client.Unavailable, match="if it expects TLS, write https://"):
                await plain_client.delete(1)
        variables = {"DUETIME_DATA_DIR": str(stack.data_dir), "DUETIME_CA_FILE": str(ca)}
        listed = await commands.run(stack, "list --json", variables)
        assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "")
        async with httpx.AsyncClient(base_url=f"http://{stack.address}") as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get("/api/tasks")
    finally:
        assert await stack.stop() == 0
    assert not (stack.data_dir / "admin.address").exists()


def serial_number(port: int, context: ssl.SSLContext) -> str:
    """Returns the serial number of the certificate that is served on the port now."""
    with context.wrap_socket(processes.connect(port), server_hostname="127.0.0.1") as connection:
        served = connection.getpeercert()
        assert served is not None
        return str(served["serialNumber"])


async def test_a_renewed_certificate_is_served_once_it_is_renamed_over_the_old_one(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    context = certificates.context(authority)
    served, new = (certificates.files(tmp_path, authority, name) for name in ("served", "new"))
    paths = layout.Layout(tmp_path / "edge")
    paths.create()
    port = processes.free_port()
    certificate = tls.certificate(served.chain, served.key)
    program = edge.make_program(paths, "127.0.0.1", port, ["127.0.0.1:1"], allowlist.Allowlist(), certificate)
    *command, _ = program.command
    envoy = await processes.launch(*command, "info", environment=dict(os.environ))
    try:
        await envoy.wait_for_log("starting workers")
        old = serial_number(port, context)
        # Between the two renames they do not fit: the old ones are still served.
        new.key.rename(served.key)
        await envoy.wait_for_log("Failed to load")
        assert serial_number(port, context) == old
        new.chain.rename(served.chain)
        async with asyncio.timeout(SECONDS):
            while serial_number(port, context) == old:  # noqa: ASYNC110 - Envoy logs nothing then
                await asyncio.sleep(0.05)
    finally:
        envoy.terminate()
        await envoy.ended()
