"""The JWK Set of an issuer is read over TLS, within limits of size and time, and from nowhere else."""

import asyncio
import json
import pathlib
import ssl
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from duetime_core.model.access import Role
from duetime_server.access import issuers, key_source
from tests.support import certificates
from tests.support import issuers as made
from tests.support.issuers import DISCOVERY, KEYS, answer


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> ssl.SSLContext:
    """The TLS context of a server that this process trusts."""
    key_source._context.cache_clear()
    return certificates.trusted(monkeypatch, tmp_path)


@pytest_asyncio.fixture
async def issuer(context: ssl.SSLContext) -> AsyncIterator[made.Issuer]:
    """An issuer that answers."""
    async with made.serving(context) as serving:
        yield serving
    key_source._context.cache_clear()


def known(url: str, keys_file: pathlib.Path | None = None) -> issuers.Issuer:
    grant = issuers.Grant(value="ops", role=Role.VIEWER)
    return issuers.Issuer(issuer=url, audience="duetime", claim=["groups"], grants=[grant], keys_file=keys_file)


async def test_the_keys_are_those_that_the_discovery_document_names(issuer: made.Issuer) -> None:
    assert await key_source.read(known(issuer.url)) == issuer.keys()
    assert issuer.requests == [DISCOVERY, KEYS]


async def test_an_issuer_s_path_and_final_slash_are_kept(issuer: made.Issuer) -> None:
    for path in ("/realms/corp", "/"):
        issuer.requests.clear()
        url = issuer.url + path
        place = f"{path.rstrip('/')}{DISCOVERY}"
        issuer.answers[place] = answer(json.dumps(issuer.discovery(issuer=url)).encode())
        assert await key_source.read(known(url)) == issuer.keys()
        assert issuer.requests == [place, KEYS]


async def test_keys_in_a_file_are_read_from_it_alone(tmp_path: pathlib.Path, issuer: made.Issuer) -> None:
    path = issuer.write_keys(tmp_path)
    chosen = known(issuer.url, path)
    assert await key_source.read(chosen) == issuer.keys()
    path.unlink()
    with pytest.raises(key_source.Failed, match="No such file"):
        await key_source.read(chosen)
    assert issuer.requests == []


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answer(b"{}", status="500 Internal Server Error"), "status 500"),
        (answer(b"", status="204 No Content"), "status 204"),
        (answer(b"x" * 10_000_000), "more than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 10_000_000, "more than 65536 bytes"),
        (answer(b"", status="302 Found", location="/elsewhere"), "status 302"),
        (answer(b"", status="307 Temporary Redirect", location="http://127.0.0.1:1/"), "status 307"),
        (answer(b"", status="302 Found", location="https://["), "."),
        (answer(b"\x1f\x8b\x08", content_encoding="gzip"), "compressed"),
        (answer(b"{", content_length="100"), "."),
        (b"no HTTP at all\r\n\r\n", "."),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000 + b"\r\n\r\n", "."),
    ],
    ids=[
        "500",
        "204",
        "10 MB",
        "10 MB of no length",
        "redirect",
        "http",
        "bad URL",
        "gzip",
        "cut",
        "garbage",
        "header",
    ],
)
async def test_another_answer_than_the_document_is_refused(
    issuer: made.Issuer, path: str, response: bytes, message: str
) -> None:
    issuer.answers = {"/elsewhere": answer(issuer.keys()), path: response}
    with pytest.raises(key_source.Failed, match=message):
        await key_source.read(known(issuer.url))
    assert issuer.requests[-1] == path


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
async def test_an_issuer_that_never_answers_is_left_in_time(
    issuer: made.Issuer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_source, "READ_SECONDS", 0.5)
    issuer.silent.add(path)
    began = time.monotonic()
    with pytest.raises(key_source.Failed, match=r"more than 0\.5 s"):
        await key_source.read(known(issuer.url))
    assert time.monotonic() - began < 5


async def test_an_issuer_that_answers_a_byte_at_a_time_is_left_in_time(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_source, "READ_SECONDS", 0.5)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with await asyncio.start_server(drip, "127.0.0.1", 0, ssl=context) as server:
        with pytest.raises(key_source.Failed, match=r"more than 0\.5 s"):
            await key_source.read(known(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"[]", "not answered with a JSON object"),
        (b"{", "not answered with a JSON object"),
        (b"[" * 60_000, "not answered with a JSON object"),
        ({"issuer": "https://evil.test"}, "is of another issuer"),
        ({"issuer": None}, "is of another issuer"),
        ({"jwks_uri": None}, "no https:// URL in 'jwks_uri'"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "no https:// URL in 'jwks_uri'"),
        ({"jwks_uri": "file:///etc/passwd"}, "no https:// URL in 'jwks_uri'"),
        ({"jwks_uri": "https://"}, "."),
    ],
    ids=str,
)
async def test_another_document_than_the_issuer_s_is_refused(
    issuer: made.Issuer, document: bytes | dict[str, object], message: str
) -> None:
    content = document if isinstance(document, bytes) else json.dumps(issuer.discovery(**document)).encode()
    issuer.answers[DISCOVERY] = answer(content)
    with pytest.raises(key_source.Failed, match=message):
        await key_source.read(known(issuer.url))
    assert issuer.requests == [DISCOVERY]


async def test_a_certificate_that_is_not_trusted_or_of_another_name_is_refused(
    context: ssl.SSLContext, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other := tmp_path / "other").mkdir()
    with pytest.MonkeyPatch.context() as elsewhere:
        untrusted = certificates.trusted(elsewhere, other)
    async with made.serving(untrusted) as evil:
        with pytest.raises(key_source.Failed):
            await key_source.read(known(evil.url))
    misnamed = certificates.trusted(monkeypatch, other, "issuer.test")
    key_source._context.cache_clear()
    async with made.serving(misnamed) as evil:
        with pytest.raises(key_source.Failed):
            await key_source.read(known(evil.url))
    key_source._context.cache_clear()
    assert evil.requests == []


async def test_an_issuer_that_is_not_there_is_a_failure(context: ssl.SSLContext) -> None:
    with pytest.raises(key_source.Failed):
        await key_source.read(known("https://127.0.0.1:1"))


async def test_the_environment_s_proxy_is_not_used(issuer: made.Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await key_source.read(known(issuer.url)) == issuer.keys()
