"""Signed calls against a real HTTP server: of workers that crash, while secrets are replaced, and by wrong clocks."""

import email.utils
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import standardwebhooks

import duetime_client
from duetime_worker import handlers
from duetime_worker.builtin import call_webhook
from tests.support import clients, pages, processes, receiver, webhooks

Sign = Callable[..., str]


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[Sign]:
    """Makes this process sign calls to an origin, and returns the secret."""

    def sign(origin: str) -> str:
        secret = webhooks.new_secret()
        path = webhooks.secrets_file(tmp_path, f"{origin} {secret}")
        monkeypatch.setenv("DUETIME_WEBHOOK_SECRETS_FILE", path)
        call_webhook.signer.cache_clear()
        return secret

    yield sign
    call_webhook.signer.cache_clear()


def verify(call: receiver.Call, secret: str) -> str:
    """Returns the id of a call that the specification's library accepts; raises its error for others."""
    standardwebhooks.Webhook(secret).verify(call.content, call.headers, json_parse=False)
    return call.headers["webhook-id"]


async def test_the_call_that_is_repeated_after_a_crash_has_the_same_id(
    start: processes.Starter, tmp_path: pathlib.Path, received: receiver.Receiver
) -> None:
    secret = webhooks.new_secret()
    path = webhooks.secrets_file(tmp_path, f"{received.url} {secret}")
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create("Call Webhook", clients.NOW, {"url": received.url, "json": {"order": "№ 7"}})
        doomed = await start.worker(lease="PT1S", crash_point="worker.ran", webhook_secrets_file=path)
        assert await doomed.ended() == -signal.SIGKILL
        worker = await start.worker(webhook_secrets_file=path)
        await clients.finished(client, task_id)
        other = await client.create("Call Webhook", clients.NOW, {"url": received.url})
        await clients.finished(client, other)
    first, second, third = (verify(call, secret) for call in received.calls)
    assert (first, first.partition("-")[0]) == (second, str(task_id))
    assert third != first
    assert not any(secret[6:] in line for line in (*doomed.log, *worker.log))


async def test_every_call_verifies_while_a_secret_is_replaced(
    start: processes.Starter, tmp_path: pathlib.Path, received: receiver.Receiver
) -> None:
    old, new = webhooks.new_secret(), webhooks.new_secret()
    received.status, received.headers = 503, {"Retry-After": "1"}
    server = await start.server()
    async with duetime_client.AsyncClient(server.address) as client:
        task_id = await client.create("Call Webhook", clients.NOW, {"url": received.url, "text": "№ 7"})
        for secrets in ([old], [new, old], [new]):
            worker = await start.worker(
                webhook_secrets_file=webhooks.secrets_file(tmp_path, f"{received.url} {' '.join(secrets)}")
            )
            await worker.wait_for_log("answered 503")
            worker.terminate()
            assert await worker.ended() == 0
        await client.cancel(task_id)
    by_old, *by_both, by_new = (call for call in received.calls if call)
    of_both = [call for call in by_both if "," in call.headers["webhook-signature"].replace("v1,", "", 1)]
    ids = {verify(by_old, old), verify(by_new, new), *(verify(call, each) for call in of_both for each in (old, new))}
    assert of_both
    assert len(ids) == 1


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    "more", [{"json": {"a": [1, "ü"]}}, {"form": {"a": "b c"}}, {"text": "№"}, {"base64": "AP8K"}, {"method": "GET"}]
)
async def test_the_example_in_the_docs_accepts_what_is_sent_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, signed: Sign, more: dict[str, Any]
) -> None:
    (example,) = re.findall(
        r"```python\n(.*?def verify.*?)```", (pages.ROOT / "docs/handlers.md").read_text(), re.DOTALL
    )
    names: dict[str, object] = {}
    exec(example.rpartition("```python\n")[2], names)
    check = names["verify"]
    assert callable(check)
    names["SECRETS"] = [webhooks.new_secret(), signed(received.url)]

    await webhooks.call(received.url, **more)
    (call,) = received.calls
    assert check(call.headers, call.content) == call.headers["webhook-id"] == "7-1795510800000000"
    for changed in (
        {"webhook-id": "8-1795510800000000"},
        {"webhook-timestamp": str(int(call.headers["webhook-timestamp"]) + 1)},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": call.headers["webhook-signature"].replace("v1,", "v1a,")},
    ):
        with pytest.raises(ValueError, match="webhook-"):
            check({**call.headers, **changed}, call.content)
    with pytest.raises(ValueError, match="webhook-signature is missing or wrong"):
        check(call.headers, call.content + b" ")
    real = time.time
    for seconds in (-301, 301):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: real() + seconds)
        with pytest.raises(ValueError, match="not of the last five minutes"):
            check(call.headers, call.content)


@pytest.mark.usefixtures("reachable")
async def test_a_call_to_an_origin_without_a_secret_has_no_signature(received: receiver.Receiver, signed: Sign) -> None:
    await webhooks.call(received.url)
    signed(f"http://127.0.0.1:{processes.free_port()}")
    await webhooks.call(received.url)
    assert [name for call in received.calls for name in call.headers if name.startswith("webhook")] == []


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_takes_no_signature_to_another_origin(
    received: receiver.Receiver, signed: Sign, status: int
) -> None:
    async with receiver.receiving() as elsewhere:
        signed(received.url)
        received.status, received.headers = status, {"Location": elsewhere.url}
        with pytest.raises(handlers.Fail, match="redirects are not followed"):
            await webhooks.call(received.url)
        assert (len(received.calls), elsewhere.calls) == (1, [])


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (600, r"; its clock is (59\d|600) s ahead of the signature's timestamp"),
        (-600, r"; its clock is 60\d s behind the signature's timestamp"),
        (30, ""),
    ],
)
async def test_the_error_of_a_refused_call_names_a_clock_that_differs(
    received: receiver.Receiver, signed: Sign, seconds: int, shown: str
) -> None:
    received.status, received.headers = 401, {"Date": email.utils.formatdate(time.time() + seconds, usegmt=True)}
    with pytest.raises(handlers.Fail, match=r"answered 401 Unauthorized$"):
        await webhooks.call(received.url)
    signed(received.url)
    with pytest.raises(handlers.Fail, match=rf"answered 401 Unauthorized{shown}$"):
        await webhooks.call(received.url)


async def test_a_worker_with_an_invalid_secret_does_not_start_and_does_not_show_it(
    start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    path = webhooks.secrets_file(tmp_path, "https://a.example planted-secret")
    with pytest.raises(
        AssertionError, match=r"DUETIME_WEBHOOK_SECRETS_FILE: line 1 of .*: a secret is invalid"
    ) as ended:
        await start.worker(webhook_secrets_file=path)
    assert "planted-secret" not in str(ended.value)
