"""Generate Report: statistics of a period as a page with charts and as CSV, optionally sent by email."""

import asyncio
import datetime
import re
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import builtin, recurrence, statistics
from duetime_core.model.builtin import addresses
from duetime_core.model.builtin import report as reports
from duetime_core.postgres import database
from duetime_core.process import settings as core_settings
from duetime_core.store.log import statistics as store
from duetime_worker import handlers, settings
from duetime_worker.builtin import mail as mails
from duetime_worker.builtin import parts, send_email
from duetime_worker.builtin.report import period as periods

_reading = asyncio.Semaphore(4)
"""Limits reports that read the log: each has a connection of its own to PostgreSQL, which allows 100 by default.

Made at import, because a handler receives nothing but its task. It belongs to no event loop until one waits for it.
"""


@handlers.built_in(builtin.GENERATE_REPORT)
async def generate_report(run: handlers.Task, report: builtin.Report) -> dict[str, Any]:
    """Writes the report, replacing that of an earlier attempt, and sends it if it has recipients."""
    async with _reading:
        period, found = await _read(run, report)
    rendered = await asyncio.to_thread(_render, report.title, period, found)
    stem = f"{_slug(report.title)}-{period.start:%Y-%m-%d}-{run.task_id}"
    directory = settings.Reports().directory
    files = {f"{stem}.html": rendered["html"], f"{stem}.csv": rendered["csv"]}
    urls = await asyncio.to_thread(_put, directory, files)
    total = found.total
    result: dict[str, Any] = {
        "html": urls[f"{stem}.html"],
        "csv": urls[f"{stem}.csv"],
        "start_time": period.start.isoformat(),
        "end_time": period.end.isoformat(),
        **{name: getattr(total, name) for name in ("ran", "succeeded", "failed", "retried")},
    }
    if report.email:
        mail = builtin.Email.model_construct(
            email=report.email, subject=f"{report.title}: {period}", body=rendered["text"], html=rendered["mail"]
        )
        sender = addresses.parse_sender(settings.Smtp().sender)
        message = await asyncio.to_thread(
            mails.make_message,
            run,
            mail,
            sender,
            attached=[parts.Part(f"{stem}.csv", "text/csv", rendered["csv"])],
            inline=[parts.Part(name, "image/png", png) for name, png in rendered["charts"].items()],
        )
        result["mail"] = await send_email.deliver(run, mail, message)
    return result


def _period(report: builtin.Report, due: datetime.datetime) -> periods.Period:
    zone = recurrence.zone(report.time_zone)
    if isinstance(report.period, reports.Between):
        start, end = (moment.astimezone(zone) for moment in (report.period.start_time, report.period.end_time))
        return periods.Period(start, end)
    return periods.last(report.period, due, zone)


async def _due_at(engine: sqlalchemy_asyncio.AsyncEngine, run: handlers.Task) -> datetime.datetime:
    """Returns the time that the report is relative to: the same for late runs and retries."""
    if run.nominal_time is not None:
        return run.nominal_time
    if run.attempt == 1:
        return run.execution_time
    # The execution_time of a retry is the end of its backoff, perhaps on another day.
    return await store.requested_time(engine, run.task_id) or run.execution_time


async def _read(run: handlers.Task, report: builtin.Report) -> tuple[periods.Period, statistics.Statistics]:
    engine = database.connect(core_settings.Settings.read().database_url, pool_size=1)
    try:
        period = _period(report, await _due_at(engine, run))
        found = await store.read(
            engine,
            start=period.start.astimezone(datetime.UTC),
            end=period.end.astimezone(datetime.UTC),
            unit=period.unit,
            zone=report.time_zone,
            name=report.filter.name,
            queue=report.filter.queue,
        )
        return period, found
    finally:
        await engine.dispose()


def _render(title: str, period: periods.Period, found: statistics.Statistics) -> dict[str, Any]:
    # Imported here, and in a thread: matplotlib takes time and memory that only reports need.
    from duetime_worker.builtin.report import charts, page, tables

    drawn = charts.draw(period, found)
    return {
        "html": page.html(title, period, found, page.embedded(drawn)).encode(),
        "csv": tables.write(period, found),
        "text": page.text(title, period, found),
        "mail": page.html(title, period, found, {name: f"cid:{name}" for name in drawn}),
        "charts": drawn,
    }


def _put(directory: str, files: dict[str, bytes]) -> dict[str, str]:
    from duetime_worker.builtin.report import storage

    try:
        return storage.put(directory, files)
    except (OSError, ValueError, ImportError) as error:
        # The directory may be fixed before the retry.
        raise handlers.Retry(f"could not write the report to {directory}: {error}") from error


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "report"
