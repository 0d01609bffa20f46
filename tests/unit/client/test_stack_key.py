"""The admin key of a stack: it is sent only where that stack listens now, and only from files that are one's own."""

from __future__ import annotations

import fcntl
import os
import pathlib
import pwd
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from duetime_client import address, credentials, stack_key

KEY = "dt_3mJr7AoUXx2W_planted_hunter2"
SENT = (("authorization", f"Bearer {KEY}"),)
HERE = "127.0.0.1:8080"


class Stack(NamedTuple):
    data_dir: pathlib.Path
    environment: dict[str, str]
    lock: int

    def sends(self, target: str = HERE, **environment: str) -> credentials.Metadata:
        return credentials.Credentials(None, address.parse(target), self.environment | environment).metadata()


@pytest.fixture(params=["", "data"], ids=["default", "variable"])
def stack(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """What a stack that listens on 127.0.0.1:8080 has in its data directory, relative to the current one."""
    monkeypatch.chdir(tmp_path)
    data_dir = pathlib.Path(request.param or ".duetime")
    (data_dir / "run").mkdir(parents=True)
    data_dir.chmod(0o700)
    (data_dir / "admin.key").write_text(f"authorization: Bearer {KEY}\n")
    (data_dir / "admin.address").write_text(f"{HERE}\n")
    lock = os.open(data_dir / "run" / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield Stack(data_dir, {"DUETIME_DATA_DIR": request.param} if request.param else {}, lock)
    os.close(lock)


def test_the_admin_key_of_a_stack_is_sent_unless_another_is_given(stack: Stack) -> None:
    assert stack.sends() == SENT
    assert credentials.Credentials("", address.parse(HERE), stack.environment).metadata() == ()
    assert stack.sends(DUETIME_API_KEY="other") != SENT
    for content, problem in ((b"nonsense", "must have one line"), (b"\xff", "it is not text")):
        (stack.data_dir / "admin.key").write_bytes(content)
        with pytest.raises(ValueError, match=f"{stack.data_dir}/admin.key.*{problem}"):
            stack.sends()
    (stack.data_dir / "admin.key").unlink()
    assert stack.sends() == ()


@pytest.mark.parametrize(
    ("listens_at", "targets"),
    [
        (
            "127.0.0.1:8080\n",
            ["127.0.0.1:8080", "http://127.0.0.1:8080", "https://127.0.0.1:8080", "ipv4:127.0.0.1:8080"],
        ),
        ("0.0.0.0:8080", ["127.0.0.1:8080", "dns:///127.0.0.1:8080"]),
        ("127.0.0.2:8080", ["127.0.0.2:8080"]),
        ("[::1]:8080", ["[::1]:8080", "https://[0:0::1]:8080", "ipv6:%5B::1%5D:8080"]),
        ("[::]:8080", ["[::1]:8080"]),
        ("192.0.2.1:8080", []),
    ],
)
def test_the_admin_key_is_sent_to_the_address_of_its_stack_alone(
    stack: Stack, listens_at: str, targets: list[str]
) -> None:
    (stack.data_dir / "admin.address").write_text(listens_at)
    for target in targets:
        assert stack.sends(target) == SENT, target
    own = {address.hosts(address.parse(target).target)[0] for target in targets}
    for other in {"127.0.0.1", "127.0.0.2", "0.0.0.0", "127.1"} - own:
        assert stack.sends(f"{other}:8080") == (), other
    if not any(":" in host for host in own):
        assert stack.sends("[::1]:8080") == stack.sends("[::]:8080") == stack.sends("[::ffff:127.0.0.1]:8080") == ()
    for other in (
        "localhost:8080", "http://localhost:8080", "https://localhost:8080", "ip6-localhost:8080", "a.localhost:8080",
        "https://duetime.example:8080", "https://192.0.2.1:8080", "127.0.0.1:8081", "[::1]:8081", "https://127.0.0.1",
        "unix:/tmp/8080", "unix:127.0.0.1:8080", "ipv4:127.0.0.1", "ipv4:127.0.0.1:8080,127.0.0.1:8081",
        "ipv4:127.0.0.1:8080,127.0.0.2:8080",
    ):  # fmt: skip
        assert stack.sends(other) == (), other


@pytest.mark.parametrize("content", [None, b"", b"8080", b"127.0.0.1", b"\xff:8080", b"localhost:8080"], ids=str)
def test_the_admin_key_of_a_stack_that_does_not_run_is_not_sent(stack: Stack, content: bytes | None) -> None:
    if content is None:
        (stack.data_dir / "admin.address").unlink()
    else:
        (stack.data_dir / "admin.address").write_bytes(content)
    assert stack.sends() == ()


def test_the_admin_key_of_a_stack_that_was_killed_is_not_sent_although_its_address_is_left(stack: Stack) -> None:
    fcntl.flock(stack.lock, fcntl.LOCK_UN)
    assert stack.sends() == ()
    fcntl.flock(stack.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is free for the next start
    assert stack.sends() == SENT
    (stack.data_dir / "run" / "up.lock").unlink()
    assert stack.sends() == ()


@pytest.mark.parametrize("name", ["admin.key", "admin.address", "run/up.lock"])
def test_a_symbolic_link_in_the_data_directory_is_not_followed(stack: Stack, name: str) -> None:
    (stack.data_dir / name).rename("elsewhere")
    (stack.data_dir / name).symlink_to(pathlib.Path("elsewhere").absolute())
    assert stack.sends() == ()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_data_directory_that_others_can_write_is_not_trusted(stack: Stack, mode: int) -> None:
    stack.data_dir.chmod(mode)
    assert stack.sends() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
@pytest.mark.parametrize("name", ["", "admin.key", "admin.address", "run/up.lock"])
def test_what_belongs_to_another_user_is_not_trusted(stack: Stack, name: str) -> None:
    os.chown(stack.data_dir / name, 54_321, -1)
    assert stack.sends() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs stacks as another user")
def test_root_finds_the_key_of_the_stack_that_runs_as_the_user_duetime(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(stack_key, "_STACK_USER", "nobody")
    os.chown(stack.data_dir, nobody.pw_uid, -1)
    assert stack.sends() == ()  # the files are root's: all have one owner
    for name in ("admin.key", "admin.address", "run/up.lock"):
        os.chown(stack.data_dir / name, nobody.pw_uid, -1)
    assert stack.sends() == SENT
    monkeypatch.setattr(stack_key, "_STACK_USER", "no-such-user")
    assert stack.sends() == ()
