"""What a server notes of each call: from where it comes, and whether it was refused."""

from duetime_core.model import audit, errors, namespace
from duetime_server import access
from duetime_server.access import interceptor, keys, peers, refusals, tokens
from duetime_server.rpc import errors as rpc_errors

_KINDS = {
    errors.Unauthenticated: audit.Kind.AUTHENTICATION_FAILED,
    errors.PermissionDenied: audit.Kind.PERMISSION_DENIED,
    errors.GrantExceeded: audit.Kind.PERMISSION_DENIED,
}


class Observer:
    """Notes the callers' addresses, also where the server does not require authentication, and refusals."""

    def __init__(
        self,
        known_peers: peers.Peers,
        authenticator: interceptor.Authenticator | None = None,
        refused: refusals.Refusals | None = None,
    ) -> None:
        self._peers = known_peers
        self._authenticator = authenticator
        self._refusals = refused

    def arrived(self, context: rpc_errors.Context) -> None:
        """Notes the address of a call that is about to be handled, or refused."""
        address = self._peers.address(context)
        access.origin.set(address)
        caller = access.current()
        if caller is not None and self._authenticator is not None:
            self._authenticator.came_from(caller, address)

    def failed(self, method: str, error: Exception) -> None:
        """Counts the current call if it was refused."""
        kind = next((kind for refusing, kind in _KINDS.items() if isinstance(error, refusing)), None)
        if kind is None or self._refusals is None or not isinstance(error, errors.DuetimeError):
            return
        caller = access.current()
        actor, key_id, namespace_id = None, None, namespace.DEFAULT
        if caller is not None:
            actor, key_id, namespace_id = caller.actor, caller.key_id or None, caller.namespace_id
        if isinstance(error, keys.KeyRefused):
            key_id, namespace_id = error.key_id, error.namespace_id
        elif isinstance(error, tokens.NoGrant):
            actor = error.actor
        refusal = audit.Refusal(kind, error.reason, actor, key_id, peers.counted(access.address()), namespace_id)
        self._refusals.add(refusal, method.rpartition("/")[2])
