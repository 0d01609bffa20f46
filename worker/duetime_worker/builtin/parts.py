"""The files of a mail, as they are when it is sent."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable

from duetime_core.model.builtin import attachment as attachments
from duetime_worker import handlers
from duetime_worker.egress import fetching

_concurrency = asyncio.Semaphore(5)
"""Of mails with fetched files: in memory each takes several times the size of its files."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A file within a mail."""

    filename: str
    media_type: str
    content: bytes


def place(given: Iterable[attachments.Attachment]) -> contextlib.AbstractAsyncContextManager[None]:
    """Returns the place that a mail with these files needs in this worker while it is made and sent."""
    # Files in task_data are small.
    return _concurrency if any(each.url is not None for each in given) else contextlib.nullcontext()


async def fetch(given: Iterable[attachments.Attachment]) -> list[Part]:
    """Returns the files, those with a URL fetched. Raises Fail or Retry, naming the one that cannot be had."""
    parts: list[Part] = []
    room = attachments.MAX_BYTES
    for position, each in enumerate(given):
        content = each.content
        if content is None:
            assert each.url is not None
            try:
                content = await fetching.fetch(each.url, max_bytes=room)
            except handlers.Fail as error:
                raise handlers.Fail(f"attachments[{position}]: {error}") from error
            except handlers.Retry as error:
                after = None if error.after is None else error.after.total_seconds()
                raise handlers.Retry(f"attachments[{position}]: {error}", after=after) from error
        room -= len(content)
        if room < 0:
            raise handlers.Fail(f"attachments: all together must be at most {attachments.MAX_BYTES} bytes")
        parts.append(Part(each.filename, each.media_type, content))
    return parts
