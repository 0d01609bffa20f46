"""TLS at the edge: a certificate that Envoy loads again whenever a new one is renamed over it."""

import dataclasses
import pathlib
import ssl
from typing import Any, NoReturn

from duetime_stack import errors

_SECRET = "edge"  # noqa: S105 - a name
_TYPES = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The absolute paths of PEM files: a certificate, followed by those of its issuers, and its private key."""

    chain: pathlib.Path
    key: pathlib.Path


def certificate(chain: pathlib.Path | None, key: pathlib.Path | None) -> Certificate | None:
    """Returns the certificate of these files, or None without them.

    Raises StackError if one is missing, this user cannot read it, or they do not belong together.
    """
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise errors.StackError(
            "a certificate needs its private key: set both --tls-cert (or DUETIME_TLS_CERT) and --tls-key (or "
            "DUETIME_TLS_KEY)"
        )
    _require_readable("--tls-cert or DUETIME_TLS_CERT", chain)
    _require_readable("--tls-key or DUETIME_TLS_KEY", key)
    if key.stat().st_mode & 0o007:
        raise errors.StackError(f"every user can read the private key {key}; make it private: chmod 600 {key}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=lambda: _refuse_encrypted(key))
    except ssl.SSLError as error:
        raise errors.StackError(
            f"{chain} (--tls-cert) and {key} (--tls-key) must be PEM files of a certificate and of its private key: "
            f"{error.reason or error}"
        ) from error
    return Certificate(chain.absolute(), key.absolute())


def transport_socket(resources: pathlib.Path) -> dict[str, Any]:
    """Returns the `transport_socket` of a listener whose certificate is in that file of resources."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [
                    {
                        "name": _SECRET,
                        "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": str(resources)}},
                    }
                ],
            },
        },
    }


def resource(certificate: Certificate) -> dict[str, Any]:
    """Returns the certificate as Envoy's resource."""
    return {
        "@type": f"{_TYPES}.Secret",
        "name": _SECRET,
        "tls_certificate": {
            "certificate_chain": {"filename": str(certificate.chain)},
            "private_key": {"filename": str(certificate.key)},
            # Envoy loads both again after a rename in it. If they do not fit, it keeps the ones before.
            "watched_directory": {"path": str(certificate.chain.parent)},
        },
    }


def _require_readable(setting: str, path: pathlib.Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise errors.StackError(f"{path} ({setting}) cannot be read: {error.strerror}") from error


def _refuse_encrypted(key: pathlib.Path) -> NoReturn:
    raise errors.StackError(f"the private key {key} is encrypted, and nobody can enter its password: decrypt the file")
