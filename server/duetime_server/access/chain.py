"""The interceptors of a server, in order."""

from collections.abc import Collection

import grpc.aio

from duetime_core.process import outage
from duetime_server.access import interceptor, observer, peers, quotas, refusals, responses
from duetime_server.rpc import errors as rpc_errors


def interceptors(
    authenticator: interceptor.Authenticator | None,
    database_outage: outage.Outage,
    edges: Collection[peers.Network] = (),
    refused: refusals.Refusals | None = None,
    quota: quotas.Quotas | None = None,
    *,
    is_at_socket: bool = False,
) -> list[grpc.aio.ServerInterceptor]:
    """Returns them, the outermost first. Without an authenticator every call is allowed, in the default namespace."""
    known_peers = peers.Peers(edges, is_at_socket=is_at_socket)
    observing = observer.Observer(known_peers, authenticator, refused)
    failures = rpc_errors.Interceptor(database_outage, observing)
    if authenticator is None:
        return [interceptor.Open(), failures]
    outermost = interceptor.Interceptor(authenticator, observing, known_peers, quota or quotas.Quotas())
    return [outermost, failures, responses.Interceptor(authenticator)]
