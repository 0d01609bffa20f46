"""Call Webhook in a whole stack: a task cannot call the API, which trusts this machine."""

import httpx
import pytest

import duetime_client
from tests.support import clients, receiver, stacks


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_a_task_cannot_call_the_api_even_if_its_host_is_allowed(
    stack: stacks.Stack, rest: httpx.AsyncClient, host: str
) -> None:
    port = stack.address.rpartition(":")[2]
    victim = (await rest.post("/api/tasks", json={"name": "noop", "execution_time": "2200-01-01T00:00:00Z"})).json()
    url = f"http://{host}:{port}/api/tasks/{victim['task_id']}:cancel"
    async with duetime_client.AsyncClient(stack.address) as client:
        task_id = await client.create("Call Webhook", clients.NOW, {"url": url, "json": {}})
        failed = await clients.finished(client, task_id)
        assert (await client.get(victim["task_id"])).status == "pending"
    assert (failed.status, failed.retry_count) == ("failed", 0)
    assert failed.error_message is not None
    assert "DUETIME_EGRESS_DENY denies it (`duetime up` adds its own address there)" in failed.error_message


async def test_a_task_can_call_an_allowed_receiver(stack: stacks.Stack) -> None:
    async with receiver.receiving() as received, duetime_client.AsyncClient(stack.address) as client:
        task_id = await client.create("Call Webhook", clients.NOW, {"url": received.url})
        assert (await clients.finished(client, task_id)).result == {"status_code": 200, "body": "thanks"}
