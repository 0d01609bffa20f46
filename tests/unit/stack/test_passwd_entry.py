"""Users without a name."""

import os
import pathlib
import pwd

import pytest

from duetime_stack import errors, passwd_entry


@pytest.fixture
def without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is in no list."""

    def unknown(_: int) -> object:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    passwd_entry._wrapper.cache_clear()


def test_a_command_of_a_user_with_a_name_is_left_as_it_is(tmp_path: pathlib.Path) -> None:
    assert passwd_entry.wrapped(["initdb"], tmp_path) == ["initdb"]


@pytest.mark.usefixtures("without_a_name")
def test_what_gives_a_name_first_is_taken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwd_entry, "_nss_wrapper", lambda _: ("false",))
    monkeypatch.setattr(passwd_entry, "_user_namespace", lambda: ("env",))
    assert passwd_entry.wrapped(["initdb"], tmp_path) == ["env", "initdb"]


@pytest.mark.usefixtures("without_a_name")
def test_where_nothing_gives_a_name_the_user_is_told_what_would(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwd_entry, "_nss_wrapper", lambda _: ("false",))
    monkeypatch.setattr(passwd_entry, "_user_namespace", lambda: ("false",))
    with pytest.raises(errors.StackError, match=f"the user {os.geteuid()} has no entry in /etc/passwd.*libnss-wrapper"):
        passwd_entry.wrapped(["initdb"], tmp_path)
