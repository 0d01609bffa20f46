"""Stores reports in a directory, or in any store that fsspec supports, such as s3://bucket/reports."""

import pathlib
import uuid
from collections.abc import Mapping

import fsspec


def put(directory: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Writes each file atomically, replacing one of the same name, and returns their paths or URLs by name.

    Raises OSError, ValueError for an unknown URL scheme, and ImportError if the library for it is not installed.
    """
    store, path = fsspec.core.url_to_fs(directory)
    store.makedirs(path, exist_ok=True)
    paths = {name: f"{path}/{name}" for name in files}
    # Object stores write atomically. A file is written next to its final path and then renamed: fsspec's own
    # transactions write to /tmp, and copy if that is another file system.
    write = _write_file if isinstance(store, fsspec.get_filesystem_class("file")) else store.pipe_file
    for name, content in files.items():
        write(paths[name], content)
    return {name: str(store.unstrip_protocol(path)).removeprefix("file://") for name, path in paths.items()}


def _write_file(path: str, content: bytes) -> None:
    final = pathlib.Path(path)
    unfinished = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(final)
    finally:
        unfinished.unlink(missing_ok=True)
