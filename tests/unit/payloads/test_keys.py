"""The file of the keys of encrypted payloads."""

import base64
import pathlib

import pytest

from duetime_payloads import DecryptionFailed, Kind, PayloadCodec
from tests.support import payload_keys

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()
FORM = r"line 1 of .*: must be an id and the base64 of 32 random bytes, as this makes them: echo "


def written(directory: pathlib.Path, text: str, mode: int = 0o600) -> str:
    path = directory / "keys"
    path.touch(mode)
    path.chmod(mode)
    path.write_text(text)
    return str(path)


def test_each_line_is_a_key_and_the_first_encrypts(tmp_path: pathlib.Path) -> None:
    codec = PayloadCodec.read(written(tmp_path, f"# ours\n\n  2026-12 {KEY}\r\n2026-11\t{OTHER}\n".replace("\t", "  ")))
    encrypted = codec.encrypt({"a": 1}, kind=Kind.RESULT, handler="h")
    assert encrypted["$enc"]["k"] == "2026-12"
    assert PayloadCodec({"2026-12": bytes(range(32))}).decrypt(encrypted, kind=Kind.RESULT, handler="h") == {"a": 1}
    with pytest.raises(DecryptionFailed):
        PayloadCodec({"2026-12": bytes(32)}).decrypt(encrypted, kind=Kind.RESULT, handler="h")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no keys; this makes a line: echo "),
        ("# none", "has no keys"),
        *(
            (line, FORM)
            for line in (KEY, f"{KEY} a", "a", "a b", f"a {KEY[:-4]}", f"a {KEY}=", f"a b {KEY}", f"é {KEY}")
        ),
        (f"a {KEY}\na {OTHER}", "line 2 of .*: the id a is listed twice"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(tmp_path: pathlib.Path, content: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        PayloadCodec.read(written(tmp_path, content))
    assert KEY[:20] not in str(refused.value)


def test_a_file_that_every_user_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"every user can read the keys in .*; make it private: chmod 600"):
        PayloadCodec.read(written(tmp_path, f"a {KEY}", 0o644))
    assert PayloadCodec.read(written(tmp_path, f"a {KEY}", 0o640))


@pytest.mark.parametrize("path", [f"a {KEY}", KEY])
def test_a_key_in_place_of_a_path_is_not_shown(path: str) -> None:
    with pytest.raises(ValueError, match="must be the path of a file that has the keys, not a key itself") as refused:
        PayloadCodec.read(path)
    assert KEY not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot read /nowhere/keys: No such file or directory$"):
        PayloadCodec.read("/nowhere/keys")
    path = pathlib.Path(payload_keys.file(tmp_path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="must be text in UTF-8"):
        PayloadCodec.read(path)
