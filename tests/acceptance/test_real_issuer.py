"""Tokens of a real issuer, from the command line and the Python client to the log of a task."""

import asyncio
import os
import pathlib
import subprocess
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio

import duetime_client
from tests.acceptance import commands, edges, refusals
from tests.support import issuers, processes, real_issuers

DENIED = 7


class Deployment(NamedTuple):
    """A server that trusts a real issuer, behind an Envoy; `file` is where clients find their token."""

    issuer: real_issuers.RealIssuer
    rest: httpx.AsyncClient
    address: str
    file: pathlib.Path

    async def duetime(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(commands.DUETIME), *arguments, "--server", self.address]
        environment = {**os.environ, "DUETIME_API_KEY_FILE": str(self.file)}
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, env=environment
        )


@pytest_asyncio.fixture
async def deployment(
    start: processes.Starter, tmp_path: pathlib.Path, short_directory: pathlib.Path
) -> AsyncIterator[Deployment]:
    """A deployment whose clients have no token yet."""
    async with real_issuers.running(tmp_path) as issuer:
        server = await start.server(
            auth="keys",
            address=f"unix:{short_directory}/issuer-{os.urandom(4).hex()}.sock",
            jwt_file=issuers.write_file(tmp_path, issuer.url),
            variables={"SSL_CERT_FILE": str(issuer.ca)},
        )
        async with edges.running(tmp_path, server.address) as rest:
            while (await rest.get("/healthz")).status_code != 200:
                pass
            yield Deployment(issuer, rest, f"127.0.0.1:{rest.base_url.port}", tmp_path / "token")


async def test_commands_act_as_the_owner_of_the_token_in_the_file(deployment: Deployment) -> None:
    deployment.file.write_text(await deployment.issuer.token_of_a_program())
    created = await deployment.duetime("create", "Greet", "--in", "1d")
    assert (created.returncode, created.stderr) == (0, "")
    user, id_token = await deployment.issuer.tokens_of_a_user()
    deployment.file.write_text(f"authorization: Bearer {user}\n")
    logs = await deployment.duetime("logs", "1", "--json")
    assert '"actor": "jwt:corp:deploy"' in logs.stdout.replace('":"', '": "')
    assert (await deployment.duetime("cancel", "1")).returncode == DENIED
    deployment.file.write_text(id_token)
    refused = await deployment.duetime("list")
    assert refused.returncode == DENIED
    assert "The access token is not valid" in refused.stderr
    assert id_token not in refused.stderr


async def test_an_id_token_is_refused_over_rest_and_the_access_token_is_not(deployment: Deployment) -> None:
    access_token, id_token = await deployment.issuer.tokens_of_a_user()
    for token, status in ((access_token, 200), (id_token, 401)):
        response = await deployment.rest.get("/api/tasks", headers={"authorization": f"Bearer {token}"})
        assert response.status_code == status, response.text
    assert refusals.over_rest(response).reason == "CREDENTIALS_INVALID"


async def test_a_client_sends_the_token_that_replaced_the_one_in_its_file(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.file.write_text((await deployment.issuer.tokens_of_a_user())[0])
    monkeypatch.setenv("DUETIME_API_KEY_FILE", str(deployment.file))
    async with duetime_client.AsyncClient(deployment.address) as client:
        with pytest.raises(duetime_client.PermissionDenied):
            await client.cancel(1)
        deployment.file.write_text(await deployment.issuer.token_of_a_program())
        with pytest.raises(duetime_client.TaskNotFound):
            await client.cancel(1)
