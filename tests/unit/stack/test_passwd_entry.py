"""Users without an entry in /etc/passwd."""

import os
import pathlib
import pwd

import pytest

from duetime_stack import errors, passwd_entry


@pytest.fixture
def without_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry."""

    def unknown(_: int) -> object:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    passwd_entry._wrapper.cache_clear()


def test_a_command_of_a_user_with_an_entry_is_unchanged(tmp_path: pathlib.Path) -> None:
    assert passwd_entry.wrapped(["initdb"], tmp_path) == ["initdb"]


@pytest.mark.usefixtures("without_an_entry")
def test_the_first_wrapper_that_works_is_used(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwd_entry, "_nss_wrapper", lambda _: ("false",))
    monkeypatch.setattr(passwd_entry, "_user_namespace", lambda: ("env",))
    assert passwd_entry.wrapped(["initdb"], tmp_path) == ["env", "initdb"]


@pytest.mark.usefixtures("without_an_entry")
def test_without_a_working_wrapper_the_error_names_the_remedies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwd_entry, "_nss_wrapper", lambda _: ("false",))
    monkeypatch.setattr(passwd_entry, "_user_namespace", lambda: ("false",))
    with pytest.raises(errors.StackError, match=f"the user {os.geteuid()} has no entry in /etc/passwd.*libnss-wrapper"):
        passwd_entry.wrapped(["initdb"], tmp_path)
