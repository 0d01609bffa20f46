"""Where reports are put: a directory, or whatever store fsspec has a name for, such as s3://bucket/reports."""

import pathlib
import uuid
from collections.abc import Mapping

import fsspec


def put(directory: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Writes those files there, each as a whole or not at all, over what has their names; returns where they are.

    Raises OSError, ValueError for an unknown kind of store, and ImportError for one whose library is not installed.
    """
    store, path = fsspec.core.url_to_fs(directory)
    store.makedirs(path, exist_ok=True)
    placed = {name: f"{path}/{name}" for name in files}
    # An object is put as a whole. A file is renamed once it is whole, and written beside its place for that: fsspec's
    # own transactions write to /tmp, and copy where that is another file system.
    write = _write_file if isinstance(store, fsspec.get_filesystem_class("file")) else store.pipe_file
    for name, content in files.items():
        write(placed[name], content)
    return {name: str(store.unstrip_protocol(where)).removeprefix("file://") for name, where in placed.items()}


def _write_file(path: str, content: bytes) -> None:
    place = pathlib.Path(path)
    unfinished = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)
