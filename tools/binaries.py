"""Checks the binaries that come as wheels against binaries.toml: the locked versions, and the files in the wheels.

`python -m tools.binaries` downloads the locked wheels of each platform, each checked against its hash in
requirements.lock, and exits with 1 and a sentence for each version or file that differs from the record. With
`--record` it writes the hashes of the files instead.
"""

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

RECORDS = pathlib.Path(__file__).with_name("binaries.toml")
LOCK = RECORDS.parent.parent / "requirements.lock"
PLATFORMS = ("x86_64", "aarch64")
_GLIBC = ("2_28", "2_31", "2_34")


def locked(lock: str, package: str) -> tuple[str, str]:
    """Returns the version of a package in the text of requirements.lock, and its entry there with the hashes."""
    entry = re.search(rf"^{re.escape(package)}==(?P<version>[^ ;\\]+)(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if entry is None:
        raise SystemExit(f"{package} is not in requirements.lock")
    return entry["version"], entry[0]


def differences(records: Mapping[str, Any], versions: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each version and file that differs from the record.

    `versions` are those of the lock, by package; `found` has the SHA-256 of each file, in hexadecimal.
    """
    for package, record in records.items():
        if versions[package] != record["version"]:
            yield (
                f"{package} {versions[package]} is locked, but {RECORDS.name} has {record['version']}: "
                f"compare it with {record['published']}, and record it"
            )
            continue
        for file, sha256 in record["files"].items():
            if found[file] != sha256:
                yield f"{package} {record['version']}: {file} has SHA-256 {found[file]}, but {sha256} is recorded"


def _hashes(package: str, entry: str, files: Mapping[str, str], directory: pathlib.Path) -> dict[str, str]:
    requirements = directory / f"{package}.txt"
    requirements.write_text(entry)
    found = {}
    for platform in PLATFORMS:
        target = directory / package / platform
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        tags = [argument for glibc in _GLIBC for argument in ("--platform", f"manylinux_{glibc}_{platform}")]
        where = ["--only-binary", ":all:", *tags, "--dest", str(target), "--requirement", str(requirements)]
        subprocess.run([*download, *where], check=True)  # noqa: S603 - the program is pip
        (wheel,) = target.iterdir()
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                of_platform, _, path = file.partition(":")
                if of_platform == platform:
                    found[file] = hashlib.sha256(archive.read(path)).hexdigest()
    return found


def main() -> None:
    """Exits with 1 if something differs from the record."""
    records = tomllib.loads(RECORDS.read_text())
    lock = LOCK.read_text()
    versions: dict[str, str] = {}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        for package, record in records.items():
            versions[package], entry = locked(lock, package)
            found |= _hashes(package, entry, record["files"], pathlib.Path(directory))
    if sys.argv[1:] == ["--record"]:
        _record(found)
        return
    wrong = list(differences(records, versions, found))
    if wrong:
        raise SystemExit("\n".join(wrong))


def _record(found: Mapping[str, str]) -> None:
    # By replacing text, which keeps the comments: they are the point of the file.
    text = RECORDS.read_text()
    for file, sha256 in found.items():
        text = re.sub(rf'^("{re.escape(file)}" = )".*"$', rf'\g<1>"{sha256}"', text, flags=re.MULTILINE)
    RECORDS.write_text(text)


if __name__ == "__main__":
    main()
