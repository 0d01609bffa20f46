"""The certificate of the edge is checked before anything starts."""

import pathlib
from collections.abc import Callable

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from duetime_stack import errors, tls
from tests.support import certificates


@pytest.fixture
def files(tmp_path: pathlib.Path) -> certificates.Files:
    return certificates.files(tmp_path, trustme.CA())


def encrypt(files: certificates.Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    scheme = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, scheme)
    )


def take_the_key_of_another(files: certificates.Files) -> None:
    files.key.write_bytes(trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes())


def test_a_certificate_with_its_private_key_is_accepted_by_absolute_paths(
    files: certificates.Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.chain.parent)
    found = tls.certificate(pathlib.Path(files.chain.name), pathlib.Path(files.key.name))
    assert found == tls.Certificate(files.chain, files.key)
    assert tls.certificate(None, None) is None


@pytest.mark.parametrize("missing", ["chain", "key"])
def test_one_without_the_other_is_refused_with_both_settings(files: certificates.Files, missing: str) -> None:
    given = {"chain": files.chain, "key": files.key, missing: None}
    with pytest.raises(errors.StackError, match=r"--tls-cert \(or DUETIME_TLS_CERT\) and --tls-key \(or DUETIME_TLS_"):
        tls.certificate(**given)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda files: files.chain.unlink(),
            "server.pem (--tls-cert or DUETIME_TLS_CERT) cannot be read: No such file",
        ),
        (lambda files: files.key.unlink(), "server.key (--tls-key or DUETIME_TLS_KEY) cannot be read: No such file"),
        (lambda files: files.key.chmod(0o604), "every user can read the private key"),
        (lambda files: files.chain.write_text("a certificate"), "must be PEM files of a certificate"),
        (lambda files: files.key.write_text(""), "must be PEM files of a certificate"),
        (take_the_key_of_another, "must be PEM files of a certificate and of its private key: KEY_VALUES_MISMATCH"),
        (encrypt, "is encrypted, and nobody can enter its password"),
    ],
    ids=["no certificate", "no key", "a public key file", "no PEM", "an empty key", "another's key", "encrypted"],
)
def test_files_that_cannot_serve_are_refused_by_name(
    files: certificates.Files, spoil: Callable[[certificates.Files], None], message: str
) -> None:
    spoil(files)
    with pytest.raises(errors.StackError) as refused:
        tls.certificate(files.chain, files.key)
    assert message in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
