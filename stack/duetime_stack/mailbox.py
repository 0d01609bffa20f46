"""The mailbox: an SMTP server that keeps what tasks send in a maildir, so that a newcomer sees it arrive."""

import pathlib

from duetime_stack import ports, program


def environment(port: int) -> dict[str, str]:
    """Returns the variables by which the workers find it."""
    return {
        "DUETIME_SMTP_HOST": ports.LOOPBACK,
        "DUETIME_SMTP_PORT": str(port),
        "DUETIME_SMTP_TLS": "none",
        "DUETIME_SMTP_SENDER": "duetime@localhost",
    }


def make_program(maildir: pathlib.Path, port: int) -> program.Program:
    """Returns the process that takes mail on this port of the loopback address: aiosmtpd's own command."""
    return program.Program(
        "mailbox",
        program.python(
            "aiosmtpd",
            *("--nosetuid", "--smtputf8", "--listen", f"{ports.LOOPBACK}:{port}"),
            *("--class", "aiosmtpd.handlers.Mailbox", str(maildir)),
        ),
        lambda: ports.accepts(port),
        stop_signal="INT",
    )
