"""Checks the binaries that come as wheels against binaries.toml: the locked versions, and the files in the wheels.

`python -m tools.binaries` downloads the locked wheels of each platform, each checked against its hash in
requirements.lock, and exits with 1 and a sentence for each version or file that is not as noted. With `--note` it
writes the hashes of the files instead.
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

NOTES = pathlib.Path(__file__).with_name("binaries.toml")
LOCK = NOTES.parent.parent / "requirements.lock"
PLATFORMS = ("x86_64", "aarch64")
_GLIBC = ("2_28", "2_31", "2_34")


def locked(lock: str, package: str) -> tuple[str, str]:
    """Returns the version of a package in the text of requirements.lock, and its entry there with the hashes."""
    entry = re.search(rf"^{re.escape(package)}==(?P<version>[^ ;\\]+)(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if entry is None:
        raise SystemExit(f"{package} is not in requirements.lock")
    return entry["version"], entry[0]


def differences(notes: Mapping[str, Any], versions: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each version and file that is not as noted.

    `versions` are those of the lock, by package; `found` has the SHA-256 of each file, in hexadecimal.
    """
    for package, note in notes.items():
        if versions[package] != note["version"]:
            yield (
                f"{package} {versions[package]} is locked, but {NOTES.name} has {note['version']}: "
                f"compare it with {note['published']}, and note it"
            )
            continue
        for file, sha256 in note["files"].items():
            if found[file] != sha256:
                yield f"{package} {note['version']}: {file} has SHA-256 {found[file]}, but {sha256} is noted"


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
    """Exits with 1 if something is not as noted."""
    notes = tomllib.loads(NOTES.read_text())
    lock = LOCK.read_text()
    versions: dict[str, str] = {}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        for package, note in notes.items():
            versions[package], entry = locked(lock, package)
            found |= _hashes(package, entry, note["files"], pathlib.Path(directory))
    if sys.argv[1:] == ["--note"]:
        _note(found)
        return
    wrong = list(differences(notes, versions, found))
    if wrong:
        raise SystemExit("\n".join(wrong))


def _note(found: Mapping[str, str]) -> None:
    # By replacing text: the comments are the point of the file.
    text = NOTES.read_text()
    for file, sha256 in found.items():
        text = re.sub(rf'^("{re.escape(file)}" = )".*"$', rf'\g<1>"{sha256}"', text, flags=re.MULTILINE)
    NOTES.write_text(text)


if __name__ == "__main__":
    main()
