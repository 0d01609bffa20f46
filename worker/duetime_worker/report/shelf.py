"""Where reports are put: a directory, or whatever store fsspec has a name for, such as s3://bucket/reports."""

from collections.abc import Mapping

import fsspec


def put(directory: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Writes those files there, each as a whole or not at all, over what has their names; returns where they are.

    Raises OSError, ValueError for an unknown kind of store, and ImportError for one whose library is not installed.
    """
    store, path = fsspec.core.url_to_fs(directory)
    store.makedirs(path, exist_ok=True)
    placed = {}
    with store.transaction:
        for name, content in files.items():
            placed[name] = f"{path}/{name}"
            with store.open(placed[name], "wb") as opened:
                opened.write(content)
    return {name: str(store.unstrip_protocol(where)).removeprefix("file://") for name, where in placed.items()}
