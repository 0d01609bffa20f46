"""The mailbox, which keeps what tasks send in a maildir, so that a newcomer sees it arrive: its process and address."""

import pathlib

from duetime_stack import environments, program, sockets


def environment(path: pathlib.Path) -> dict[str, str]:
    """Returns the variables by which the workers find it at this socket."""
    return {
        "DUETIME_SMTP_HOST": f"unix:{path}",
        "DUETIME_SMTP_TLS": "none",
        "DUETIME_SMTP_SENDER": "duetime@localhost",
    }


def make_program(maildir: pathlib.Path, path: pathlib.Path) -> program.Program:
    """Returns the process that takes mail at this unix socket."""
    return program.Program(
        "mailbox",
        program.python("duetime_stack.mailbox_server", str(maildir), str(path)),
        lambda: sockets.accepts(path),
        inherits=environments.is_for_python,
    )
