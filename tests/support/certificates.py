"""Certificates for servers on this machine."""

import dataclasses
import datetime
import os
import pathlib
import shutil
import ssl

import grpc
import pytest
import trustme

from duetime_stack import privileges

HERE = ("127.0.0.1", "localhost")


def grpc_server(
    authority: trustme.CA,
    *names: str,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
) -> grpc.ServerCredentials:
    """Returns the credentials of a gRPC server, with a certificate for these names, or this machine's."""
    issued = authority.issue_cert(*(names or HERE), not_before=not_before, not_after=not_after)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    return grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])


def ca_file(authority: trustme.CA, directory: pathlib.Path) -> pathlib.Path:
    """Returns a file with the authority's certificate."""
    path = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def trusted(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path, host: str = "127.0.0.1") -> ssl.SSLContext:
    """Returns the TLS context of a server of this name, whose certificate this process trusts from now on."""
    authority = trustme.CA()
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file(authority, directory)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


@dataclasses.dataclass(frozen=True)
class Files:
    """A certificate of 127.0.0.1 and its private key, as PEM files that a stack's user can read."""

    chain: pathlib.Path
    key: pathlib.Path

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of `duetime up`."""
        return ("--tls-cert", str(self.chain), "--tls-key", str(self.key))


def files(directory: pathlib.Path, authority: trustme.CA, name: str = "server") -> Files:
    """Writes a new certificate."""
    issued = authority.issue_cert("127.0.0.1")
    written = Files(directory / f"{name}.pem", directory / f"{name}.key")
    written.chain.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    written.key.touch(mode=0o600)
    written.key.write_bytes(issued.private_key_pem.bytes())
    if os.geteuid() == 0:
        for path in (written.chain, written.key):
            shutil.chown(path, privileges.ensure_user().pw_uid)
    return written


def context(authority: trustme.CA) -> ssl.SSLContext:
    """Returns the TLS context of a client that trusts this authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context
