"""`python -m duetime_stack.mailbox_server MAILDIR SOCKET`: accepts mail at a unix socket until SIGTERM.

aiosmtpd's own command does not support unix sockets.
"""

import asyncio
import pathlib
import signal
import sys

import aiosmtpd.handlers
import aiosmtpd.smtp


async def _serve(maildir: str, path: str) -> None:
    loop = asyncio.get_running_loop()
    handler = aiosmtpd.handlers.Mailbox(pathlib.Path(maildir))
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    # This replaces the socket that a killed mailbox leaves behind.
    async with await loop.create_unix_server(
        lambda: aiosmtpd.smtp.SMTP(handler, enable_SMTPUTF8=True, loop=loop), path
    ):
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
