"""In a real browser, pages of allowed origins can use the API, and others cannot."""

import asyncio
import contextlib
import json
import pathlib
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from duetime_stack import allowlist
from tests.acceptance import edges, requests
from tests.support import processes, receiver, relay

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, which .ci/run installs")

HEAD = """<script>
let posted = Promise.resolve();
const post = what => posted = posted.then(() => fetch("/posted", {method: "POST", body: JSON.stringify(what)}));
"""
WATCH = """
const source = new EventSource(`${EDGE}/api/tasks:watch?queue=${QUEUE}`);
source.onmessage = event => post({id: event.lastEventId, ...JSON.parse(event.data)});
source.onerror = () => post({broken: source.readyState});
"""
CHANGE = """
(async () => {
  const json = {"content-type": "application/json"};
  const body = JSON.stringify({paused: true, allow_missing: true});
  const changed = await fetch(`${EDGE}/api/queues/${QUEUE}`, {method: "PATCH", headers: json, body});
  const wrong = await fetch(`${EDGE}/api/tasks`, {method: "DELETE"});
  post({queue: await changed.json(), status: wrong.status, allow: wrong.headers.get("allow")});
})();
"""
ATTACK = """
(async () => {
  const body = JSON.stringify({name: "noop", execution_time: "2100-01-01T00:00:00Z", queue: QUEUE});
  const refused = [];
  const attempt = (path, options) => fetch(EDGE + path, options).then(() => 0, () => refused.push(path));
  await attempt("/api/tasks", {});
  await attempt("/api/tasks", {method: "POST", headers: {"content-type": "application/json"}, body});
  for (const type of ["text/plain", "", "application/x-www-form-urlencoded"])
    await attempt("/api/tasks", {method: "POST", mode: "no-cors", body: new Blob([body], {type})});
  document.body.insertAdjacentHTML("beforeend", '<iframe name="frame"></iframe>');
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, {action: `${EDGE}/api/tasks`, method: "POST", enctype: "text/plain", target: "frame"});
  const field = form.appendChild(document.createElement("input"));
  Object.assign(field, {name: body.slice(0, -1) + ', "request_id": "', value: '"}'});
  await new Promise(done => { document.querySelector("iframe").onload = done; form.submit(); });
  post({refused});
})();
"""


class Page:
    """A page open in a browser, and the messages that it posted to its server."""

    def __init__(self, served: receiver.Receiver) -> None:
        self._served = served

    @property
    def posted(self) -> list[dict[str, Any]]:
        return [json.loads(call.content) for call in self._served.calls if call.path == "/posted"]

    async def until(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Returns the messages once `enough` accepts them."""
        async with asyncio.timeout(60):
            while not enough(self.posted):  # noqa: ASYNC110 - the receiver has no event to wait for
                await asyncio.sleep(0.05)
        return self.posted


@contextlib.asynccontextmanager
async def opened(
    served: receiver.Receiver, edge: str, queue: str, script: str, directory: pathlib.Path
) -> AsyncIterator[Page]:
    """Opens a page with this script in a browser."""
    assert CHROMIUM is not None
    served.headers = {"Content-Type": "text/html"}
    page = f"<body>{HEAD}const EDGE = {json.dumps(edge)}, QUEUE = {json.dumps(queue)};{script}</script></body>"
    served.body = page.encode()
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={directory / 'browser'}", served.url,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Page(served)
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def allowing(
    start: processes.Starter, directory: pathlib.Path
) -> AsyncIterator[tuple[httpx.AsyncClient, receiver.Receiver]]:
    """Runs an edge and a server of pages whose origin it allows; yields a client of the edge, and the server."""
    server = await start.server()
    async with receiver.receiving() as served:
        allowed = allowlist.parse(["127.0.0.1"], "", served.url)
        async with edges.running(directory / "edge", server.address, allowed=allowed) as client:
            yield client, served


def changes(posted: list[dict[str, Any]]) -> list[int]:
    return [each["change"]["task_id"] for each in posted if "change" in each]


async def create(client: httpx.AsyncClient, queue: str, count: int) -> list[int]:
    tasks = [requests.as_json(queue=queue) for _ in range(count)]
    task_ids: list[int] = (await client.post("/api/tasks:batchCreate", json={"requests": tasks})).json()["task_ids"]
    return task_ids


async def test_an_event_source_resumes_after_a_broken_connection_without_gaps_or_repeats(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    async with allowing(start, tmp_path) as (client, served):
        between = relay.Relay(client.base_url.port or 0)
        await between.start()
        edge = f"http://127.0.0.1:{between.port}"
        async with opened(served, edge, queue, WATCH, tmp_path) as page:
            await page.until(lambda posted: any("heartbeat" in each for each in posted))
            task_ids = await create(client, queue, 3)
            await page.until(lambda posted: len(changes(posted)) == 3)
            await between.cut()
            task_ids += await create(client, queue, 3)
            await page.until(lambda posted: {"broken": 0} in posted)
            await between.start()
            await page.until(lambda posted: len(changes(posted)) >= 6)
            task_ids += await create(client, queue, 2)
            posted = await page.until(lambda posted: len(changes(posted)) >= 8)
        await between.cut()
    assert changes(posted) == task_ids
    assert all(each["id"] == each["cursor"] for each in posted if "broken" not in each)


async def test_a_page_of_an_allowed_origin_has_full_access(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    async with allowing(start, tmp_path) as (client, served):
        edge = str(client.base_url).rstrip("/")
        async with opened(served, edge, queue, CHANGE, tmp_path) as page:
            (posted,) = await page.until(bool)
        assert posted["queue"]["paused"] is True
        assert (posted["status"], posted["allow"]) == (405, "GET, HEAD, POST")


async def test_a_page_of_another_origin_has_no_access(
    start: processes.Starter, tmp_path: pathlib.Path, queue: str
) -> None:
    async with allowing(start, tmp_path) as (client, _), receiver.receiving() as other:
        edge = str(client.base_url).rstrip("/")
        async with opened(other, edge, queue, WATCH + ATTACK, tmp_path) as page:
            posted = await page.until(
                lambda posted: any("refused" in each for each in posted) and {"broken": 2} in posted
            )
        (refused,) = (each["refused"] for each in posted if "refused" in each)
        assert refused[:2] == ["/api/tasks", "/api/tasks"]
        assert not changes(posted)
        assert (await client.get("/api/tasks", params={"queue": queue})).json()["tasks"] == []


async def test_a_preflight_succeeds_only_for_allowed_origins(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    async with allowing(start, tmp_path) as (client, served):
        asked = {
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "content-type,last-event-id",
            "sec-fetch-site": "cross-site",
        }
        response = await client.options("/api/tasks/1", headers={**asked, "origin": served.url})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == served.url
        assert "PATCH" in response.headers["access-control-allow-methods"]
        assert {"authorization", "content-type", "last-event-id"} <= set(
            response.headers["access-control-allow-headers"].split(", ")
        )
        assert "access-control-allow-credentials" not in response.headers
        for path in ("/api/tasks", "/api/tasks/4294967295", "/api/nothing"):
            response = await client.get(path, headers={"origin": served.url, "sec-fetch-site": "same-site"})
            assert response.headers["access-control-allow-origin"] == served.url, path
        for origin in ("https://evil.example", "null", f"{served.url}0", served.url.replace("http", "https")):
            response = await client.options("/api/tasks/1", headers={**asked, "origin": origin})
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers
