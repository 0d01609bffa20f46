"""Storing reports."""

import pathlib
import tempfile

import pytest

from duetime_worker.builtin.report import storage


def test_a_report_is_replaced_atomically(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On another file system, from which a file cannot be renamed.
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    placed = storage.put(str(tmp_path), {"report.html": b"old"})
    with pathlib.Path(placed["report.html"]).open("rb") as opened:
        storage.put(str(tmp_path), {"report.html": b"new"})
        assert opened.read() == b"old"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]
