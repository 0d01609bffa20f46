"""What a server notes of each call: from where it comes."""

from duetime_server import access
from duetime_server.access import interceptor, peers
from duetime_server.rpc import errors as rpc_errors


class Observer:
    """Notes the callers' addresses, also where the server does not require authentication."""

    def __init__(self, known_peers: peers.Peers, authenticator: interceptor.Authenticator | None = None) -> None:
        self._peers = known_peers
        self._authenticator = authenticator

    def arrived(self, context: rpc_errors.Context) -> None:
        """Notes the address of a call that is about to be handled."""
        address = self._peers.address(context)
        access.origin.set(address)
        caller = access.current()
        if caller is not None and self._authenticator is not None:
            self._authenticator.came_from(caller, address)
