"""Secrets in directories, as Docker and Kubernetes mount them."""

import itertools
import pathlib

_versions = itertools.count()


def write(directory: pathlib.Path, **secrets: str) -> pathlib.Path:
    """Writes a file for each secret, with a newline at its end as editors write it, and returns the directory."""
    directory.mkdir(exist_ok=True)
    for name, value in secrets.items():
        (directory / name).write_text(f"{value}\n")
    return directory


def mount(directory: pathlib.Path, **secrets: str) -> None:
    """Mounts secrets as Kubernetes does, or replaces them by others at once.

    Each is a link to a file in the directory `..data`, which is a link to the directory of a version.
    """
    directory.mkdir(exist_ok=True)
    data = directory / "..data"
    earlier = data.resolve() if data.exists() else None
    version = write(directory / f"..version_{next(_versions)}", **secrets)
    new = directory / "..data_tmp"
    new.symlink_to(version.name)
    new.rename(data)
    for name in secrets:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    if earlier is not None:
        for file in earlier.iterdir():
            file.unlink()
        earlier.rmdir()
