"""Certificates for servers on this machine."""

import pathlib
import ssl

import pytest
import trustme


def trusted(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path, host: str = "127.0.0.1") -> ssl.SSLContext:
    """Returns the TLS context of a server of this name, whose certificate this process trusts from now on."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(directory / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context
