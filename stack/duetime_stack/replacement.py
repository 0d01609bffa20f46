"""Files that are replaced as a whole."""

import pathlib


def write(path: pathlib.Path, text: str) -> None:
    """Writes the file beside its place, and renames it: readers see the one before or the new one.

    Envoy reloads a file only when it is replaced so.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.rename(path)
