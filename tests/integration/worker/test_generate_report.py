"""Generate Report: from real runs to a page in a browser, a table, an object store and a mailbox."""

import asyncio
import csv
import dataclasses
import datetime
import email.message
import html
import io
import json
import pathlib
import random
import shutil
import zoneinfo
from collections.abc import AsyncIterator, Iterator
from typing import Any

import fsspec
import pytest
import pytest_asyncio
import s3fs
import sqlalchemy as sa
from moto.server import ThreadedMotoServer
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import builtin, task
from duetime_core.store.log import statistics as store
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from duetime_worker import handlers
from duetime_worker.builtin import generate_report
from tests.support import factories, rows, runs, smtp

NOW = datetime.datetime.now(datetime.UTC)
HOUR = datetime.timedelta(hours=1)
AROUND_NOW = {"start_time": (NOW - HOUR).isoformat(), "end_time": (NOW + HOUR).isoformat()}
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> pathlib.Path:
    """The directory of reports."""
    monkeypatch.setenv("DUETIME_DATABASE_URL", database_url)
    monkeypatch.setenv("DUETIME_REPORT_DIRECTORY", str(tmp_path / "reports"))
    return tmp_path / "reports"


async def report(run: handlers.Task | None = None, **task_data: Any) -> dict[str, Any]:
    asked = builtin.Report.model_validate({"period": AROUND_NOW, **task_data})
    return await generate_report.generate_report(run or runs.of(), asked)


def read(path: str) -> str:
    return pathlib.Path(path).read_text()


def files(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(directory.iterdir())


@pytest_asyncio.fixture
async def history(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    """Completed, retried and failed runs of several names and queues, with various durations."""
    advanced = random.Random(7)
    for name, queue in (("Send Email", "mail"), ("Call <Webhook> & =cmd", "default"), ("$import", "default")):
        for _ in range(20):
            await factories.create(engine, name=name, queue=queue, max_retries=2)
    for queue in ("mail", "default"):
        while claimed := await factories.claim(engine, queue=queue):
            outcomes = [_outcome(each, advanced) for each in claimed]
            await task_outcomes.record(engine, outcomes, worker_id="worker")


def _outcome(claimed: task.Task, advanced: random.Random) -> task_outcomes.Outcome:
    change = advanced.choices([task.Change.COMPLETED, task.Change.RETRY_SCHEDULED, task.Change.FAILED], (6, 2, 1))[0]
    if change is task.Change.RETRY_SCHEDULED and claimed.retry_count == claimed.max_retries:
        change = task.Change.FAILED
    backoff = datetime.timedelta(0) if change is task.Change.RETRY_SCHEDULED else None
    duration = datetime.timedelta(seconds=advanced.expovariate(2))
    return factories.outcome(claimed, change, duration=duration, backoff=backoff)


async def plain_sql(engine: sqlalchemy_asyncio.AsyncEngine, group: str) -> dict[str, Any]:
    """Computes the same figures another way: in Python, from the rows of the log."""
    async with engine.connect() as connection:
        await connection.execute(sa.text("SET enable_seqscan = on"))
        logged = (
            await connection.execute(
                sa.text(
                    f"SELECT l.task_id, l.change, l.timestamp, l.execution_time, l.duration, {group} AS key "
                    f"FROM task_logs l, {rows.ALL} t WHERE t.task_id = l.task_id"
                )
            )
        ).all()
    found: dict[str, Any] = {}
    for key in {row.key for row in logged}:
        own = [row for row in logged if row.key == key]
        late = sorted((r.timestamp - r.execution_time).total_seconds() for r in own if r.change == "started")
        took = sorted(row.duration.total_seconds() for row in own if row.duration is not None)
        found[key] = {
            "ran": len({row.task_id for row in own if row.change == "started"}),
            "succeeded": sum(row.change == "completed" for row in own),
            "failed": sum(row.change == "failed" for row in own),
            "retried": sum(row.change == "retry_scheduled" for row in own),
            "lateness": [_percentile(late, share) for share in (0.5, 0.95, 0.99, 1)],
            "duration": [_percentile(took, share) for share in (0.5, 0.95, 0.99, 1)],
        }
    return found


def _percentile(values: list[float], share: float) -> float:
    """Interpolates between the two nearest values, like SQL's percentile_cont."""
    rank = share * (len(values) - 1)
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (rank - below)


@pytest.mark.usefixtures("history")
async def test_the_numbers_match_the_log(engine: sqlalchemy_asyncio.AsyncEngine, directory: pathlib.Path) -> None:
    result = await report()
    rows = list(csv.DictReader(io.StringIO(read(result["csv"]))))
    assert directory in pathlib.Path(result["csv"]).parents
    for group, expression in (("total", "''"), ("name", "t.name"), ("queue", "t.queue")):
        expected = await plain_sql(engine, expression)
        lines = {row["key"].removeprefix("'"): row for row in rows if row["group"] == group}
        assert lines.keys() == expected.keys()
        for key, line in lines.items():
            for name in ("ran", "succeeded", "failed", "retried"):
                assert int(line[name]) == expected[key][name]
            for kind in ("lateness", "duration"):
                measured = [float(line[f"{kind}_{name}_seconds"]) for name in ("p50", "p95", "p99", "maximum")]
                assert measured == pytest.approx(expected[key][kind], abs=2e-6)
    (total,) = (await plain_sql(engine, "''")).values()
    assert {name: result[name] for name in ("ran", "succeeded", "failed", "retried")} == {
        name: total[name] for name in ("ran", "succeeded", "failed", "retried")
    }
    hours = [row for row in rows if row["group"] == "hour"]
    assert sum(int(row["succeeded"]) for row in hours) == total["succeeded"]
    assert 2 <= len(hours) <= 4  # including hours without runs


@pytest.mark.usefixtures("history")
async def test_a_filter_counts_only_its_tasks(engine: sqlalchemy_asyncio.AsyncEngine, directory: pathlib.Path) -> None:
    expected = (await plain_sql(engine, "t.queue"))["mail"]
    assert (await report(filter={"queue": "mail"}))["succeeded"] == expected["succeeded"]
    assert (await report(filter={"name": "nothing"}))["ran"] == 0


@pytest.mark.usefixtures("history")
async def test_a_retry_replaces_the_report_of_the_attempt_before(directory: pathlib.Path) -> None:
    assert await report(title="Weekly: all!") == await report(title="Weekly: all!")
    written = files(directory)
    assert [path.suffix for path in written] == [".csv", ".html"]
    assert all(path.name.startswith("weekly-all-") for path in written)


async def test_a_period_without_runs_is_reported_as_such(
    engine: sqlalchemy_asyncio.AsyncEngine, directory: pathlib.Path
) -> None:
    page = read((await report())["html"])
    assert "No tasks ran in this period." in page


async def browse(page: str, directory: pathlib.Path, *options: str) -> str:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'browser'}", *options,
        f"file://{page}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, _ = await process.communicate()
    return stdout.decode()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, which .ci/run installs")
@pytest.mark.usefixtures("history")
async def test_a_browser_shows_the_page_and_its_charts(directory: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = await report()
    # A page that reports how the browser rendered the other one: the widths of its images, and its text.
    probe = pathlib.Path(result["html"]).with_name("probe.html")
    script = (
        "<script>onload = () => { document.body.textContent = JSON.stringify({"
        "widths: [...document.images].map(image => image.naturalWidth),"
        "text: document.body.innerText}); }</script>"
    )
    probe.write_text(read(result["html"]).replace("</body>", script + "</body>"))
    shown = await browse(str(probe), tmp_path, "--dump-dom", "--virtual-time-budget=5000")
    body = shown.partition("<body>")[2].partition("</body>")[0]
    measured = json.loads(html.unescape(body))
    assert len(measured["widths"]) == 3
    assert min(measured["widths"]) > 1000
    assert "Call <Webhook> & =cmd" in measured["text"]
    assert f"{result['succeeded']}\nruns succeeded" in measured["text"]


@pytest_asyncio.fixture
async def inbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[smtp.Inbox]:
    inbox = smtp.Inbox()
    async with smtp.serving(inbox) as port:
        monkeypatch.setenv("DUETIME_SMTP_PORT", str(port))
        yield inbox


@pytest.mark.usefixtures("history", "directory")
async def test_the_mail_has_the_page_in_its_body_and_the_table_attached(inbox: smtp.Inbox) -> None:
    result = await report(email="Ada <ada@example.com>", title="Weekly report")
    (arrived,) = inbox.mails
    assert result["mail"] == {"message_id": arrived["Message-ID"]}
    assert arrived["Subject"].startswith("Weekly report: ")
    assert inbox.envelopes[0].rcpt_tos == ["ada@example.com"]
    page, text = arrived.get_body(("html",)), arrived.get_body(("plain",))
    assert isinstance(page, email.message.EmailMessage)
    assert isinstance(text, email.message.EmailMessage)
    assert f"{result['succeeded']} runs succeeded" in text.get_content()
    assert '<img src="cid:lateness"' in page.get_content()
    pictures = [part for part in arrived.walk() if part.get_content_type() == "image/png"]
    assert {part["Content-ID"] for part in pictures} == {"<runs>", "<lateness>", "<durations>"}
    (attached,) = arrived.iter_attachments()
    assert attached.get_filename() == pathlib.Path(result["csv"]).name
    assert attached.get_content().replace("\r\n", "\n") == read(result["csv"]).replace("\r\n", "\n")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3-compatible store, and the name of its bucket."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "DUETIME_REPORT_DIRECTORY": "s3://reports/weekly",
    }.items():
        monkeypatch.setenv(name, value)
    yield "reports"
    server.stop()


@pytest.mark.usefixtures("history", "directory")
async def test_a_report_goes_to_an_s3_compatible_store(bucket: str) -> None:
    def fetch(url: str) -> bytes:
        with fsspec.open(url, "rb") as opened:
            content: bytes = opened.read()
            return content

    def make() -> None:
        s3fs.S3FileSystem().mkdir(bucket)

    await asyncio.to_thread(make)
    result = await report()
    assert result["html"].startswith("s3://reports/weekly/duetime-report-")
    assert (await asyncio.to_thread(fetch, result["html"])).startswith(b"<!DOCTYPE html>")


@pytest.mark.usefixtures("directory")
async def test_a_directory_that_cannot_be_written_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    for directory in ("/proc/reports", "gopher://reports"):
        monkeypatch.setenv("DUETIME_REPORT_DIRECTORY", directory)
        with pytest.raises(handlers.Retry, match=f"could not write the report to {directory}"):
            await report()


async def test_a_page_reports_that_the_log_begins_within_its_period(
    engine: sqlalchemy_asyncio.AsyncEngine, directory: pathlib.Path
) -> None:
    await factories.brought_to(engine, task.Status.COMPLETED)
    await rows.delete_all(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE task_logs SET queue = NULL, name = NULL"))  # as a release before 0.3
    result = await report()
    page = read(result["html"])
    assert store.FORGOTTEN in page
    assert "The log begins at" in page
    assert result["succeeded"] == 1


@pytest.mark.usefixtures("directory")
async def test_a_retry_after_midnight_covers_the_same_day(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    task_id = await factories.create(engine, name="Generate Report")
    due = (await task_read.get(engine, task_id)).execution_time
    first = runs.of(task_id=task_id, execution_time=due)
    retry = dataclasses.replace(first, attempt=2, execution_time=due + 24 * HOUR)
    assert await report(retry, period="last_day") == await report(first, period="last_day")


@pytest.mark.usefixtures("history", "directory")
async def test_the_page_shows_every_hour_in_local_time() -> None:
    page = read((await report(time_zone="Asia/Kolkata"))["html"])
    table = page.partition("<h2>Over time</h2>")[2]
    zone = zoneinfo.ZoneInfo("Asia/Kolkata")
    for moment in (NOW - HOUR, NOW, NOW + HOUR):
        shown = moment.astimezone(zone).replace(minute=0)
        assert f"{shown:%Y-%m-%d %H:%M} IST" in table
