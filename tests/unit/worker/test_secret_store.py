"""Secrets are read from files, as they are mounted, for the handlers that may have them."""

import os
import pathlib
import threading
from typing import Any

import pytest

from duetime_worker import handlers, secret_store, settings
from tests.support import mounts

ALL = secret_store.Permission("do", "*")


def store(directory: pathlib.Path, *permissions: secret_store.Permission) -> secret_store.SecretStore:
    return secret_store.SecretStore(directory, permissions or [ALL])


def read(directory: pathlib.Path, name: str) -> str:
    resolved, _ = store(directory).resolve("do", {"a": {"$secret": name}})
    value: str = resolved["a"]
    return value


def refusal(found: secret_store.SecretStore, name: str, *, handler: str = "do") -> str:
    with pytest.raises(handlers.Fail) as failed:
        found.resolve(handler, {"a": {"$secret": name}})
    return str(failed.value)


def test_each_reference_becomes_the_content_of_its_file(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path / "smtp", password="hunter2")
    mounts.write(tmp_path, token="grüße")
    given = {"a": [{"$secret": "smtp/password"}, {"b": {"$secret": "token"}}], "c": {"$secret": "token"}, "d": 1}
    resolved, found = store(tmp_path).resolve("do", given)
    assert resolved == {"a": ["hunter2", {"b": "grüße"}], "c": "grüße", "d": 1}
    assert found == {"smtp/password": "hunter2", "token": "grüße"}


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"hunter2", "hunter2"), (b"hunter2\r\n", "hunter2"), (b"hunter2\n\n", "hunter2\n"), (b" hunter2 ", " hunter2 "),
     (b"a\r\nb\n", "a\r\nb"), (b"x" * 16_384, "x" * 16_384)],
)  # fmt: skip
def test_one_newline_at_the_end_is_no_part_of_a_secret(tmp_path: pathlib.Path, content: bytes, value: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read(tmp_path, "a") == value


def test_a_secret_is_read_anew_each_time(tmp_path: pathlib.Path) -> None:
    for value in ("first", "second"):
        mounts.mount(tmp_path, token=value)
        assert read(tmp_path, "token") == value


def test_no_run_fails_while_kubernetes_replaces_a_secret(tmp_path: pathlib.Path) -> None:
    mounts.mount(tmp_path, token="version")
    ended = threading.Event()

    def replace() -> None:
        for number in range(300):
            mounts.mount(tmp_path, token=f"version {number}")
        ended.set()

    thread = threading.Thread(target=replace)
    thread.start()
    count = 0
    while not ended.is_set():
        assert read(tmp_path, "token").startswith("version")
        count += 1
    thread.join()
    assert count > 10


def test_a_secret_may_be_a_link_within_the_directory_but_not_out_of_it(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path, outside="hunter2")
    inside = mounts.write(tmp_path / "secrets", token="hunter2")
    linked = tmp_path / "linked"
    linked.symlink_to(inside)
    (inside / "within").symlink_to("token")
    assert read(linked, "within") == "hunter2"
    (inside / "out").symlink_to("../outside")
    (inside / "folder").symlink_to("..")
    (inside / "itself").symlink_to("itself")
    for name in ("out", "folder/outside"):
        assert refusal(store(inside), name).endswith("its file in DUETIME_SECRETS_DIR is a link that leads out of it")
    assert refusal(store(inside), "itself").endswith("its file in DUETIME_SECRETS_DIR is a link to itself")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"x" * 16_385, "is larger than 16 KiB"),
        (b"\xff\xfe\xff\xfe", "is not text in UTF-8"),
        (b"abc\n", "has less than 4 characters, too few to be kept out of errors and results"),
        (b"", "has less than 4 characters, too few to be kept out of errors and results"),
    ],
)
def test_a_file_that_is_no_secret_fails_the_task_without_showing_it(
    tmp_path: pathlib.Path, content: bytes, problem: str
) -> None:
    (tmp_path / "a").write_bytes(content)
    unavailable = 'the secret "a" is not available to handler "do"'
    assert refusal(store(tmp_path), "a") == f"{unavailable}: its file in DUETIME_SECRETS_DIR {problem}"


def test_neither_a_pipe_nor_a_directory_is_a_secret(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert refusal(store(tmp_path), name).endswith("its file in DUETIME_SECRETS_DIR is not a file")


@pytest.mark.parametrize("name", ["missing", "missing/token", "token/more"])
def test_a_secret_that_does_not_exist_fails_the_task(tmp_path: pathlib.Path, name: str) -> None:
    mounts.write(tmp_path, token="hunter2")
    assert refusal(store(tmp_path), name).endswith('handler "do": DUETIME_SECRETS_DIR has no such file')


def test_a_file_that_cannot_be_read_is_retried(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts.write(tmp_path, token="hunter2")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(handlers.Retry, match=r"its file cannot be read: Permission denied$"):
        read(tmp_path, "token")


def test_a_handler_gets_only_what_is_permitted_and_learns_nothing_of_others(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path / "hooks", a="hunter2", b="hunter3")
    mounts.write(tmp_path, token="hunter4")
    found = store(tmp_path, secret_store.Permission.parse("do=hooks/*"), secret_store.Permission.parse("other=token"))
    resolved, _ = found.resolve("do", {"a": {"$secret": "hooks/a"}, "b": {"$secret": "hooks/b"}})
    assert resolved == {"a": "hunter2", "b": "hunter3"}
    assert found.resolve("other", {"a": {"$secret": "token"}})[0] == {"a": "hunter4"}
    for name in ("token", "missing"):
        expected = f'the secret "{name}" is not available to handler "do": DUETIME_SECRETS_ALLOW does not permit it'
        assert refusal(found, name) == expected
    for handler in ("Do", "do ", "", "Call Webhook"):
        assert "DUETIME_SECRETS_ALLOW" in refusal(found, "hooks/a", handler=handler)


def test_nothing_is_permitted_by_default(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path, token="hunter2")
    assert "DUETIME_SECRETS_ALLOW" in refusal(secret_store.SecretStore(tmp_path), "token")
    assert refusal(secret_store.SecretStore(), "token").endswith(": this worker has no DUETIME_SECRETS_DIR")


@pytest.mark.parametrize(
    ("task_data", "problem"),
    [
        ({"a": {"$secret": "../token"}}, r"^task_data\.a\.\$secret: must be the name of a secret"),
        ({"a": [{"$secret": f"s{number}"} for number in range(5)]}, r"^its secrets have more than 64 KiB together$"),
    ],
)
def test_what_the_server_did_not_check_is_checked_here(
    tmp_path: pathlib.Path, task_data: dict[str, Any], problem: str
) -> None:
    mounts.write(tmp_path, **{f"s{number}": "x" * 16_000 for number in range(5)})
    with pytest.raises(handlers.Fail, match=problem):
        store(tmp_path).resolve("do", task_data)


def test_the_repr_of_a_secret_does_not_show_it(tmp_path: pathlib.Path) -> None:
    mounts.write(tmp_path, token="hunter2")
    value = read(tmp_path, "token")
    assert (value, repr(value), repr({"a": [value]})) == ("hunter2", "'[secret]'", "{'a': ['[secret]']}")


def test_the_settings_name_a_directory_and_who_may_read_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts.write(tmp_path, token="hunter2")
    monkeypatch.setenv("DUETIME_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("DUETIME_SECRETS_ALLOW", "Call Webhook=hooks/*, a=b=token ,")
    found = settings.Secrets.read().store()
    assert found.resolve("a=b", {"a": {"$secret": "token"}})[0] == {"a": "hunter2"}
    assert "has no such file" in refusal(found, "hooks/x", handler="Call Webhook")
    assert "does not permit it" in refusal(found, "token", handler="Call Webhook")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("DIR", "/nowhere", "must be a directory whose files are secrets; /nowhere is none"),
        ("DIR", "/etc/passwd", "must be a directory"),
        *(
            ("ALLOW", value, f"{value!r} must be the name of a handler and that of a secret, such as Call Webhook=hook")
            for value in ("token", "=token", "Call Webhook=", "a=../b", "a=/b", "a=b/", "a=*b", "a=b**", "a=b/*/c")
        ),
    ],
)
def test_an_invalid_setting_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"DUETIME_SECRETS_{variable}", value)
    with pytest.raises(SystemExit) as ended:
        settings.Secrets.read()
    assert str(ended.value).startswith(f"DUETIME_SECRETS_{variable}: {problem}")
