"""The credential of a call, from its metadata."""

import re
from collections.abc import Iterable

from duetime_core.model import errors

KINDS = ("authorization", "x-api-key", "x-forwarded-client-cert")
"""The headers that can carry a credential. One call has one at most, so that none is silently preferred."""
_MISSING = (
    "The call has no API key: send it in the header 'authorization: Bearer dt_…', with curl: -H @.duetime/admin.key. "
    "docs/security.md describes API keys."
)
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,8192}=*)", re.IGNORECASE)


def token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the token of the call with that metadata. Raises Unauthenticated, and never quotes what was given."""
    given = [(name, value) for name, value in metadata if name in KINDS]
    if not given:
        raise errors.Unauthenticated(_MISSING)
    if len(given) > 1:
        raise errors.CredentialsInvalid("The call has several credentials: send one API key, once.")
    name, value = given[0]
    if name != "authorization":
        raise errors.CredentialsInvalid(f"{name} is not accepted: send 'authorization: Bearer dt_…'.")
    found = _BEARER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise errors.CredentialsInvalid("authorization must be 'Bearer', a space and an API key: 'Bearer dt_…'.")
    return found[1]
