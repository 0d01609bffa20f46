"""The directory of a stack's sockets."""

import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from duetime_stack import errors, layout, sockets

_KILLED = """
import os, pathlib, signal, sys, tempfile
from duetime_stack import layout, sockets
tempfile.tempdir = sys.argv[2]
with sockets.prepare(layout.Layout(pathlib.Path(sys.argv[1]))) as socket_paths:
    print(socket_paths.directory, end="", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sockets_are_in_the_run_directory_and_stale_ones_are_removed(tmp_path: pathlib.Path) -> None:
    paths = layout.Layout(tmp_path / "data")
    paths.create()
    for stale in ("server-0.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (paths.run / stale).write_text("")
    with sockets.prepare(paths) as socket_paths:
        assert socket_paths.directory == paths.run
        assert not list(paths.run.iterdir())


@pytest.mark.parametrize("name", ["d" * 100, "My Projects", "a,b", "100%", "josé", "quote'd", "a#b?c"])
def test_sockets_are_in_a_temporary_directory_if_the_path_does_not_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paths = layout.Layout(tmp_path / name)
    paths.create()
    for temporary in (tmp_path, tmp_path / ("t" * 100)):  # the second is too long as well
        temporary.mkdir(exist_ok=True)
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        with sockets.prepare(paths) as socket_paths:
            assert sockets.fits(socket_paths.supervisor)
            assert socket_paths.directory.stat().st_mode & 0o777 == 0o700
        assert not socket_paths.directory.exists()


def test_the_temporary_directory_of_a_killed_stack_is_removed_at_the_next_start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = layout.Layout(tmp_path / ("d" * 100))
    paths.create()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Killed, so that its cleanup does not run.
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(paths.data_dir), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    left = pathlib.Path(killed.stdout)
    assert (killed.returncode, left.name[:8], left.is_dir()) == (-signal.SIGKILL, "duetime-", True)
    with sockets.prepare(paths) as socket_paths:
        assert not left.exists()
        assert socket_paths.directory.is_dir()
    assert not socket_paths.directory.exists()


@pytest.mark.parametrize("name", ["duetime-link", "another"])
def test_a_directory_that_is_not_from_an_earlier_start_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paths = layout.Layout(tmp_path / ("d" * 100))
    paths.create()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    another = tmp_path / "another"
    another.mkdir()
    (tmp_path / "duetime-link").symlink_to(another)
    (paths.run / "sockets").write_text(str(tmp_path / name))
    with sockets.prepare(paths):
        assert another.is_dir()


def test_a_copy_of_the_data_directory_keeps_the_sockets_of_the_running_stack(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, copied = (layout.Layout(tmp_path / (letter * 100)) for letter in "dc")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    paths.create()
    with sockets.prepare(paths) as socket_paths, socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.bind(str(socket_paths.supervisor))
        supervisor.listen()
        shutil.copytree(paths.data_dir, copied.data_dir)
        with sockets.prepare(copied) as copied_sockets:
            assert copied_sockets.directory != socket_paths.directory
            assert socket_paths.supervisor.exists()


def test_too_long_paths_are_reported(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAX_PATH", 10)
    with pytest.raises(errors.StackError, match="can hold unix sockets"), sockets.prepare(layout.Layout(tmp_path)):
        pass
