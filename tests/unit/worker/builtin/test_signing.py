"""Signatures of webhooks, verified by the specification's own library, and the file of their secrets."""

import base64
import datetime
import pathlib

import httpx
import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from duetime_worker import settings
from duetime_worker.builtin import signing
from tests.support import runs

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = f"whsec_{base64.b64encode(bytes(range(64))).decode()}"
URL = httpx.URL("https://hooks.example.com/orders")


def key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def signer(*secrets: str) -> signing.Signer:
    return signing.Signer({("https", b"hooks.example.com", 443): [key(each) for each in secrets]})


def verify(headers: dict[str, str], body: bytes, secret: str = SECRET) -> None:
    standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False)


@given(
    body=st.text(),
    task_id=st.integers(1, 2**32),
    age=st.integers(0, 10**15),
)
def test_the_specifications_library_accepts_the_signature_of_any_text(body: str, task_id: int, age: int) -> None:
    run = runs.of(task_id=task_id, created_at=runs.MOMENT - datetime.timedelta(microseconds=age))
    verify(signer(SECRET).headers(run, URL, body.encode()), body.encode())


@pytest.mark.parametrize(
    ("changes", "seconds", "body", "problem"),
    [
        ({}, 0, b"chang\xc3\xa9d", "No matching signature found"),
        ({"webhook-id": "8-1"}, 0, b"body", "No matching signature found"),
        ({}, 30, b"body", "No matching signature found"),
        ({}, -301, b"body", "too old"),
        ({}, 400, b"body", "too new"),
    ],
)
def test_a_changed_or_repeated_call_is_refused_by_the_library(
    changes: dict[str, str], seconds: int, body: bytes, problem: str
) -> None:
    headers = {**signer(SECRET).headers(runs.of(), URL, b"body"), **changes}
    headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + seconds)
    with pytest.raises(standardwebhooks.WebhookVerificationError, match=problem):
        verify(headers, body)


def test_while_a_secret_is_rotated_receivers_with_either_accept_the_call() -> None:
    headers = signer(OTHER, SECRET).headers(runs.of(), URL, b"body")
    verify(headers, b"body", OTHER)
    verify(headers, b"body", SECRET)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(signer(OTHER).headers(runs.of(), URL, b"body"), b"body", SECRET)


def test_all_runs_of_a_task_have_one_id_and_other_tasks_others() -> None:
    def webhook_id(**changes: object) -> str:
        return signer(SECRET).headers(runs.of(**changes), URL, b"")["webhook-id"]

    later = runs.MOMENT + datetime.timedelta(microseconds=1)
    assert webhook_id() == webhook_id(attempt=4, version=9, execution_time=later) == "7-1795510800000000"
    assert webhook_id(created_at=later) == "7-1795510800000001"
    assert webhook_id(task_id=8) == "8-1795510800000000"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "https://hooks.example.com:8443/", "https://example.com/",
        "https://a.hooks.example.com/", "https://hooks.example.com.evil.example/", "https://hooks.example.com@evil.example",
        "https://evil.example/https://hooks.example.com",
    ],
)  # fmt: skip
def test_only_the_origin_of_a_secret_gets_signatures(url: str) -> None:
    assert signer(SECRET).headers(runs.of(), httpx.URL(url), b"") == {}


def test_the_file_has_a_line_for_each_receiver(tmp_path: pathlib.Path) -> None:
    read = signing.read(
        written(tmp_path, f"# ours\n\n  HTTPS://Hooks.Example.com:443/ {SECRET}\t{OTHER}\nhttp://[::1]:9000 {OTHER}\n")
    )
    for url, secrets in (
        ("https://hooks.example.com/a?b", [SECRET, OTHER]),
        ("https://ada:x@HOOKS.example.com:443", [SECRET, OTHER]),
        ("http://[::1]:9000/a", [OTHER]),
    ):
        headers = read.headers(runs.of(), httpx.URL(url), b"body")
        assert len(headers["webhook-signature"].split()) == len(secrets)
        for each in secrets:
            verify(headers, b"body", each)


ORIGIN = r"line 1 of .*: the first word must be the origin of one receiver, such as https://hooks\.example\.com or"
FORM = r'A secret is whsec_ and the base64 of 24 to 64 random bytes: echo "whsec_\$\(openssl rand -base64 32\)"$'


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no secrets; a line is an origin and its secret: https://hooks.example.com whsec_"),
        ("# only this", "has no secrets"),
        (SECRET, ORIGIN),
        (f"{SECRET} https://a.example", ORIGIN),
        (f"hooks.example.com {SECRET}", ORIGIN),
        (f"ftp://a.example {SECRET}", ORIGIN),
        (f"https://a.example/hooks {SECRET}", ORIGIN),
        (f"https://a.example?b {SECRET}", ORIGIN),
        (f"https://ada:secret@a.example {SECRET}", ORIGIN),
        (f"https://*.a.example {SECRET}", ORIGIN),
        (f"https://[a {SECRET}", ORIGIN),
        (f"https://a.example:99999 {SECRET}", ORIGIN),
        (f"http://10.0.0.0/8 {SECRET}", ORIGIN),
        ("https://a.example", f"line 1 of .*: the origin has no secret: write it behind it, after a space. {FORM}"),
        (f"\nhttps://a.example {SECRET[6:]}", f"line 2 of .*: a secret is invalid. {FORM}"),
        (f"https://a.example {SECRET},{OTHER}", f"line 1 of .*: a secret is invalid. {FORM}"),
        (f"https://a.example {SECRET} # ours", f"line 1 of .*: a secret is invalid. {FORM}"),
        ("https://a.example whsec_c2VjcmV0", f"line 1 of .*: a secret has 6 bytes. {FORM}"),
        (f"https://a.example {SECRET}\nhttps://a.example:443 {OTHER}", "line 2 of .*: the origin is listed twice"),
        (b"\xff", "must be text in UTF-8"),
    ],
)
def test_an_invalid_file_ends_the_worker_naming_setting_and_line_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, content: str | bytes, problem: str
) -> None:
    monkeypatch.setenv("DUETIME_WEBHOOK_SECRETS_FILE", written(tmp_path, content))
    with pytest.raises(SystemExit, match=rf"^DUETIME_WEBHOOK_SECRETS_FILE: .*{problem}") as ended:
        settings.Webhooks.read()
    for secret in (SECRET[6:], OTHER[6:], "c2VjcmV0", "ada", "secret@"):
        assert secret not in str(ended.value)


def test_a_file_that_cannot_be_read_or_is_not_private_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for path, problem in (
        (str(tmp_path / "none"), "cannot read .*none: No such file or directory"),
        (str(tmp_path), "cannot read .*: Is a directory"),
        (written(tmp_path, f"https://a.example {SECRET}", 0o644), "every user can read .*: chmod 600 .*/secrets$"),
    ):
        monkeypatch.setenv("DUETIME_WEBHOOK_SECRETS_FILE", path)
        with pytest.raises(SystemExit, match=rf"^DUETIME_WEBHOOK_SECRETS_FILE: {problem}"):
            settings.Webhooks.read()


@pytest.mark.parametrize(
    "value", [SECRET, f"https://a.example {SECRET}", f"https://a.example\t{SECRET[6:]}", f"x{SECRET}"]
)
def test_a_secret_in_the_place_of_the_files_path_is_not_quoted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DUETIME_WEBHOOK_SECRETS_FILE", value)
    with pytest.raises(SystemExit, match=r"^DUETIME_WEBHOOK_SECRETS_FILE: must be the path of a file") as ended:
        settings.Webhooks.read()
    assert SECRET[6:] not in str(ended.value)


def test_secrets_are_in_no_representation(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("DUETIME_WEBHOOK_SECRETS_FILE", written(tmp_path, f"https://a.example {SECRET}"))
    read = settings.Webhooks.read()
    for shown in (repr(read), str(read.secrets_file), str(read.model_dump())):
        assert SECRET[6:] not in shown
        assert repr(key(SECRET)) not in shown


def written(directory: pathlib.Path, content: str | bytes, mode: int = 0o600) -> str:
    """Returns the path of a file with that content."""
    path = directory / "secrets"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)
