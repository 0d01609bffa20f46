"""Where a stack's sockets are."""

import pathlib

import pytest

from duetime_stack import errors, layout, sockets


def test_they_are_in_the_run_directory_and_what_was_left_there_goes(tmp_path: pathlib.Path) -> None:
    places = layout.Layout(tmp_path / "data")
    places.make()
    for left in ("server-0.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (places.run / left).write_text("")
    with sockets.lend(places) as at:
        assert at.directory == places.run
        assert not list(places.run.iterdir())


@pytest.mark.parametrize("name", ["d" * 100, "My Projects", "a,b", "100%", "josé", "quote'd", "a#b?c"])
def test_where_a_path_does_not_fit_they_are_in_a_short_directory_of_their_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    places = layout.Layout(tmp_path / name)
    for temporary in (tmp_path, tmp_path / ("t" * 100)):  # where TMPDIR is too long as well
        temporary.mkdir(exist_ok=True)
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        with sockets.lend(places) as at:
            assert sockets.fits(at.supervisor)
            assert at.directory.stat().st_mode & 0o777 == 0o700
        assert not at.directory.exists()


def test_where_all_paths_are_too_long_that_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAX_PATH", 10)
    with pytest.raises(errors.StackError, match="cannot have unix sockets"), sockets.lend(layout.Layout(tmp_path)):
        pass
