"""The files of a mail. Attachments by URL are fetched when the mail is sent."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable

from duetime_core.model.builtin import attachment as attachments
from duetime_worker import handlers
from duetime_worker.egress import fetching

_fetching = asyncio.Semaphore(5)
"""Limits mails with fetched files: each takes several times the size of its files in memory.

Made at import, because a handler receives nothing but its task. It belongs to no event loop until one waits for it.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A file in a mail."""

    filename: str
    media_type: str
    content: bytes


def memory_slot(given: Iterable[attachments.Attachment]) -> contextlib.AbstractAsyncContextManager[None]:
    """Returns the slot that a mail with these files holds while it is built and sent."""
    # Files in task_data are small and need none.
    return _fetching if any(each.url is not None for each in given) else contextlib.nullcontext()


async def fetch(given: Iterable[attachments.Attachment]) -> list[Part]:
    """Returns the files, fetching those with a URL. Raises Fail or Retry, naming the attachment that failed."""
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
            raise handlers.Fail(f"attachments: must be at most {attachments.MAX_BYTES} bytes in total")
        parts.append(Part(each.filename, each.media_type, content))
    return parts
