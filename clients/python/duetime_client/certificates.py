"""Certificates: which authorities a client trusts, and why a TLS connection failed."""

from __future__ import annotations

import os
import pathlib
import re
import ssl
from collections.abc import Mapping

import grpc

from duetime_client import address

CA_VARIABLE = "DUETIME_CA_FILE"

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_UNTRUSTED = re.compile("CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_HANDSHAKE = re.compile("handshake failed.*OPENSSL_internal:([A-Z0-9_]+)")
# Parts of gRPC's and BoringSSL's messages. The first that is found decides.
_FAILURES = {
    "certificate has expired": "its certificate has expired, or this machine's clock is ahead",
    "certificate is not yet valid": "its certificate is not valid yet, or this machine's clock is behind",
    "Hostname Verification Check failed": "its certificate is for another host name",
    "WRONG_VERSION_NUMBER": "it does not use TLS; write http://, or host:port without tls",
    "PROTOCOL_VERSION": "it does not support TLS 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "it does not support TLS 1.2 or newer",
    "missing selected ALPN": "it uses TLS, but does not offer HTTP/2 (ALPN h2)",
}


def channel_credentials(
    server: address.Address, ca: str | os.PathLike[str] | None, environment: Mapping[str, str] = os.environ
) -> grpc.ChannelCredentials | None:
    """Returns the credentials of channels to the server; None if they are not encrypted.

    Trusts the authorities in the file `ca`, or else in that of the environment, or else those that gRPC trusts by
    default: the system's, or its own where the system has none. gRPC verifies the certificate and its name, and demands
    TLS 1.2 or newer. Raises ValueError for a file without valid certificates, and for `ca` without TLS.
    """
    if not server.is_encrypted:
        if ca is not None:
            raise ValueError(f"a CA file is given, but the connection is not encrypted; write https://{server.target}")
        return None
    if ca is not None:
        return grpc.ssl_channel_credentials(_authorities(ca, ""))
    path = environment.get(CA_VARIABLE)
    return grpc.ssl_channel_credentials(_authorities(path, f" ({CA_VARIABLE})") if path else None)


def _authorities(path: str | os.PathLike[str], origin: str) -> bytes:
    named = f"the CA file {os.fspath(path)!r}{origin}"
    right = "a PEM file with the certificates of the authorities to trust"
    try:
        content = pathlib.Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{named} cannot be read: {why}; name {right}") from None
    certificates = b"\n".join(_CERTIFICATE.findall(content)) + b"\n"
    try:
        # gRPC would report an invalid one only with the first call, and not by its file.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates.decode("ascii"))
    except ssl.SSLError:
        problem = "has no valid certificate" if content.strip() else "is empty"
        raise ValueError(f"{named} {problem}; it must be {right}") from None
    return certificates


def failure(details: str) -> str | None:
    """Returns why TLS failed, from the details of gRPC's own UNAVAILABLE; None if something else failed, or something
    that can pass.
    """
    for part, why in _FAILURES.items():
        if part in details:
            return why
    if (found := _UNTRUSTED.search(details)) is None:
        return None
    return (
        f"its certificate is not trusted: {found[1]}; if its authority is your own, name a PEM file with it by ca, "
        f"--ca-file or {CA_VARIABLE}"
    )


def handshake_error(details: str) -> str | None:
    """Returns the name of another error of a TLS handshake in gRPC's details, if there is one."""
    found = _HANDSHAKE.search(details)
    return None if found is None else f"the TLS handshake failed: {found[1]}"
