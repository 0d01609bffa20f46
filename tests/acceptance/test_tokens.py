"""Access tokens over gRPC and REST, at a server that reads its issuer's keys over TLS."""

import asyncio
import contextlib
import json
import os
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
import httpx
import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2, task_service_pb2_grpc
from tests.acceptance import edges, refusals, requests
from tests.support import audit, certificates, forgeries, issuers, keys, processes
from tests.support.issuers import KEYS, answer

UNKNOWN_KEYS = 1_000


class Deployment(NamedTuple):
    """A server that trusts an issuer, behind an Envoy."""

    issuer: issuers.Issuer
    server: processes.Process
    rest: httpx.AsyncClient
    stub: Any

    async def over_rest(self, token: str) -> httpx.Response:
        return await self.rest.get("/api/tasks?page_size=1", headers={"authorization": f"Bearer {token}"})

    async def over_grpc(self, token: str) -> Any:
        metadata = (("authorization", f"Bearer {token}"),)
        return await self.stub.ListTasks(task_service_pb2.ListTasksRequest(page_size=1), metadata=metadata)

    async def accepts(self, token: str) -> None:
        response = await self.over_rest(token)
        assert response.status_code == 200, response.text
        await self.over_grpc(token)

    async def refuses(self, token: str) -> tuple[refusals.Refusal, refusals.Refusal]:
        response = await self.over_rest(token)
        both = refusals.over_rest(response), await refusals.over_grpc(self.over_grpc(token))
        assert not [part for part in token.split(".") if len(part) > 20 and part in response.text + str(both)]
        return both


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> ssl.SSLContext:
    """The TLS context of an issuer that servers trust."""
    return certificates.trusted(monkeypatch, tmp_path)


@pytest.fixture
def deploy(
    context: ssl.SSLContext, start: processes.Starter, tmp_path: pathlib.Path, short_directory: pathlib.Path
) -> Callable[..., contextlib.AbstractAsyncContextManager[Deployment]]:
    """Starts a server that trusts an issuer, whose answers may be changed before."""

    @contextlib.asynccontextmanager
    async def running(prepare: Callable[[issuers.Issuer], None] = lambda _: None) -> AsyncIterator[Deployment]:
        async with issuers.serving(context) as issuer:
            prepare(issuer)
            server = await start.server(
                auth="keys",
                address=f"unix:{short_directory}/tokens-{os.urandom(4).hex()}.sock",
                jwt_file=issuers.write_file(tmp_path, issuer.url),
                variables={"SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]},
            )
            async with edges.running(tmp_path, server.address) as rest:
                while (await rest.get("/healthz")).status_code != 200:
                    pass
                async with grpc.aio.insecure_channel(f"127.0.0.1:{rest.base_url.port}") as channel:
                    yield Deployment(issuer, server, rest, task_service_pb2_grpc.TaskServiceStub(channel))

    return running


async def test_a_token_is_its_user_beside_the_keys_of_others(
    deploy: Any, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    key, _ = await keys.create(engine)
    async with deploy() as deployment:
        token = deployment.issuer.token("editor", email="alice@corp.test")
        headers = {"authorization": f"Bearer {token}"}
        created = await deployment.rest.post("/api/tasks", json=requests.as_json(), headers=headers)
        logs = await deployment.rest.get(f"/api/tasks/{created.json()['task_id']}/logs", headers=headers)
        assert [each["actor"] for each in logs.json()["logs"]] == ["jwt:corp:alice"]
        await deployment.accepts(token)
        await deployment.accepts(key.write())
        denied, _ = await deployment.refuses(deployment.issuer.token("submitter"))
        assert (denied.reason, denied.metadata) == ("PERMISSION_DENIED", {"role": "submitter", "method": "ListTasks"})
        stranger, _ = await deployment.refuses(deployment.issuer.token("strangers", sub="mallory"))
        assert (stranger.reason, stranger.code) == ("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED)
        assert len(deployment.issuer.requests) == 2
        deployment.server.terminate()
        assert await deployment.server.ended() == 0
    events = [each for each in await audit.events(engine) if each.kind == "permission_denied"]
    assert {(each.actor, each.key_id, each.calls) for each in events} == {
        ("jwt:corp:alice", None, 2),
        ("jwt:corp:mallory", None, 2),
    }


async def test_every_forged_token_is_refused_alike_and_counted(
    deploy: Any, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    async with deploy() as deployment:
        issuer = deployment.issuer
        await deployment.accepts(issuer.token())
        forged = {name: forge(issuer) for name, forge in forgeries.FORGERIES.items()}
        messages = set()
        for name, token in (forged | {"too long": forgeries.too_long(issuer)}).items():
            for refusal in await deployment.refuses(token):
                assert refusal.code is grpc.StatusCode.UNAUTHENTICATED, name
                assert (refusal.reason, refusal.metadata) == ("CREDENTIALS_INVALID", {}), name
                messages.add(refusal.message)
        assert len(messages) == 3  # of a token, of what is no token of three parts, and of what is too long
        await deployment.accepts(issuer.token())
        assert len(issuer.requests) == 2
        deployment.server.terminate()
        assert await deployment.server.ended() == 0
        logged = "\n".join(deployment.server.log)
        assert "it is for another audience ('aud')" in logged
        assert not [token for token in forged.values() if len(token) > 20 and token in logged]
    events = await audit.events(engine)
    assert {(each.kind, each.actor, each.key_id) for each in events} == {("authentication_failed", None, None)}
    assert sum(each.calls for each in events) == 2 * (len(forged) + 1)


BROKEN = {
    "500": answer(b"", status="500 Internal Server Error"),
    "10 MB": answer(b" " * 10_000_000),
    "redirect": answer(b"", status="302 Found", location="/elsewhere"),
}


@pytest.mark.parametrize("response", [*BROKEN.values(), None], ids=[*BROKEN, "slow"])
async def test_without_the_issuer_s_keys_no_token_is_accepted_and_keys_are_read_once_a_minute(
    deploy: Any, engine: sqlalchemy_asyncio.AsyncEngine, response: bytes | None
) -> None:
    def break_keys(issuer: issuers.Issuer) -> None:
        issuer.answers["/elsewhere"] = answer(issuer.keys())
        if response is None:
            issuer.silent.add(KEYS)
        else:
            issuer.answers[KEYS] = response

    key, _ = await keys.create(engine)
    async with deploy(break_keys) as deployment:
        tokens = [issuers.signer(f"key {number % 10}").sign(deployment.issuer.claims()) for number in range(100)]
        for refusal in await deployment.refuses(deployment.issuer.token()):
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ISSUER_UNAVAILABLE")
        refused = await asyncio.gather(*(deployment.over_rest(token) for token in tokens))
        assert {each.status_code for each in refused} == {503}
        assert deployment.issuer.requests.count(KEYS) == 1
        assert "/elsewhere" not in deployment.issuer.requests
        await deployment.accepts(key.write())
        assert [line for line in deployment.server.log if "the issuer corp is unavailable" in line]


async def test_a_thousand_unknown_keys_cause_no_second_read_and_known_keys_still_work(deploy: Any) -> None:
    async with deploy() as deployment:
        issuer = deployment.issuer
        await deployment.accepts(issuer.token())
        issuer.answers[KEYS] = BROKEN["500"]
        own = issuers.signer("other")
        forged = [own.sign(issuer.claims(), kid=f"unknown {number}") for number in range(UNKNOWN_KEYS)]
        refused = await asyncio.gather(*(deployment.over_rest(token) for token in forged))
        assert {each.status_code for each in refused} == {401}
        assert len({json.dumps(each.json()) for each in refused}) == 1
        assert len(issuer.requests) == 2
        await deployment.accepts(issuer.token(jti="another"))
