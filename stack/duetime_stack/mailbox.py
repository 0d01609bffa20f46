"""The mailbox: an SMTP server that stores the tasks' mail in a maildir, so that email works without a mail server."""

import pathlib

from duetime_stack import environments, program, sockets


def environment(path: pathlib.Path) -> dict[str, str]:
    """Returns the workers' settings for the mailbox at this socket."""
    return {
        "DUETIME_SMTP_HOST": f"unix:{path}",
        "DUETIME_SMTP_TLS": "none",
        "DUETIME_SMTP_SENDER": "duetime@localhost",
    }


def make_program(maildir: pathlib.Path, path: pathlib.Path) -> program.Program:
    """Returns the program that accepts mail at this unix socket."""
    return program.Program(
        "mailbox",
        program.python("duetime_stack.mailbox_server", str(maildir), str(path)),
        lambda: sockets.accepts(path),
        inherits=environments.is_for_python,
    )
