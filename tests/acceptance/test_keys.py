"""API keys over REST and through the client and the command line; the secret is in one answer alone."""

import asyncio
import datetime
import json
import pathlib
import subprocess
import sys
from typing import Any

import httpx
import pytest

import duetime_client
from tests.support import stacks

NEW = {"name": "ci", "role": "editor", "handlers": ["Send Email"], "queues": ["mail"], "expires_in": "3600s"}


async def made(rest: httpx.AsyncClient, **fields: Any) -> tuple[dict[str, Any], str]:
    response = await rest.post("/api/keys", json=NEW | fields)
    assert response.status_code == 200, response.text
    return response.json()["key"], response.json()["api_key"]


async def test_a_key_lives_over_rest(rest: httpx.AsyncClient) -> None:
    key, secret = await made(rest)
    assert (key["role"], key["handlers"], key["queues"], key["in_force"]) == ("editor", ["Send Email"], ["mail"], True)
    path = f"/api/keys/{key['key_id']}"
    got = await rest.get(path)
    assert got.json() == key
    rotated = await rest.post(f"{path}:rotate", json={"overlap": "60s"})
    new = rotated.json()
    assert new["replaced"]["replaced_by"] == new["key"]["key_id"]
    assert new["key"]["actor"] == key["actor"] == f"key:{key['key_id']}"
    again = await rest.post(f"{path}:rotate", json={})
    assert (again.status_code, again.json()["details"][0]["reason"]) == (400, "API_KEY_NOT_IN_FORCE")
    revoked = await rest.post(f"{path}:revoke", json={})
    assert revoked.json()["revoked_at"]
    listed = await rest.get("/api/keys", params={"show_ended": "true", "page_size": "1000"})
    assert {key["key_id"], new["key"]["key_id"]} <= {each["key_id"] for each in listed.json()["keys"]}
    for response in (got, rotated, again, revoked, listed):
        assert secret.split("_")[2] not in response.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"role": "root"}, "role"),
        ({"role": None}, "role"),
        ({"queues": ["Mail"]}, "queues[0]"),
        ({"expires_in": "1s"}, "expires_in"),
        ({"never_expires": True}, "never_expires"),
        ({"handler": ["x"]}, "handler"),
    ],
    ids=str,
)
async def test_what_no_key_can_be_is_refused_with_its_field(
    rest: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    response = await rest.post("/api/keys", json={k: v for k, v in (NEW | fields).items() if v is not None})
    assert response.status_code == 400
    assert field in response.json()["message"]


@pytest.mark.parametrize(("key_id", "status"), [("a" * 12, 404), ("x", 400), ("a" * 2_000, 400)])
async def test_a_key_that_is_not_there_is_not_found(rest: httpx.AsyncClient, key_id: str, status: int) -> None:
    for response in (
        await rest.get(f"/api/keys/{key_id}"),
        await rest.post(f"/api/keys/{key_id}:rotate", json={}),
        await rest.post(f"/api/keys/{key_id}:revoke", json={}),
    ):
        assert response.status_code == status, response.text


async def test_the_client_creates_lists_rotates_and_revokes_keys(stack: stacks.Stack) -> None:
    async with duetime_client.AsyncClient(stack.address) as client:
        created = await client.create_key("ci", "submitter", queues=["mail"], expires_in=datetime.timedelta(days=1))
        assert created.key in await client.list_keys()
        assert await client.get_key(created.key.key_id) == created.key
        assert created.api_key not in repr(created)
        rotated = await client.rotate_key(created.key.key_id, overlap=datetime.timedelta())
        assert rotated.replaced.replaced_by == rotated.key.key_id
        assert not (await client.revoke_key(rotated.key.key_id)).in_force
        with pytest.raises(duetime_client.ApiKeyNotFound):
            await client.get_key("a" * 12)
        with pytest.raises(duetime_client.ApiKeyNotInForce):
            await client.rotate_key(rotated.key.key_id)


async def test_audit_events_are_read_over_rest_by_the_client_and_by_the_command_line(
    rest: httpx.AsyncClient, stack: stacks.Stack
) -> None:
    key, secret = await made(rest)
    key_id = key["key_id"]
    await rest.post(f"/api/keys/{key_id}:revoke", json={})
    listed = await rest.get("/api/audit", params={"key_id": key_id})
    events = listed.json()["events"]
    assert [(each["kind"], each["actor"], each["address"]) for each in events] == [
        ("key_revoked", "api", "127.0.0.1"),
        ("key_created", "api", "127.0.0.1"),
    ]
    assert secret.split("_")[2] not in listed.text
    assert (await rest.get("/api/audit", params={"kind": "nothing"})).status_code == 400
    async with duetime_client.AsyncClient(stack.address) as client:
        found = [each async for each in client.audit_events(key_id=key_id, kind="key_revoked")]
    assert [(each.kind, each.calls, each.address) for each in found] == [("key_revoked", 1, "127.0.0.1")]
    command = [str(pathlib.Path(sys.executable).with_name("duetime")), "audit", "--key", key_id, "--json"]
    process = await asyncio.create_subprocess_exec(*command, "--server", stack.address, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert [json.loads(line)["kind"] for line in printed.splitlines()] == ["key_revoked", "key_created"]


def test_the_command_line_gives_a_key_that_curl_can_read(stack: stacks.Stack, tmp_path: pathlib.Path) -> None:
    def duetime(*arguments: str) -> str:
        command = [str(pathlib.Path(sys.executable).with_name("duetime")), "key", *arguments, "--server", stack.address]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    path = tmp_path / "ci.key"
    duetime("create", "ci", "--role", "viewer", "--out", str(path))
    key_id = path.read_text().split("_")[1]
    listed = [json.loads(line) for line in duetime("list", "--json").splitlines()]
    assert key_id in [each["key_id"] for each in listed]
    assert duetime("rotate", key_id).startswith("dt_")
    assert duetime("revoke", key_id) == f"Key {key_id} (ci) is revoked\n"
