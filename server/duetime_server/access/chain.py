"""The interceptors of a server, in order."""

import grpc.aio

from duetime_core.process import outage
from duetime_server.access import interceptor, responses
from duetime_server.rpc import errors as rpc_errors


def interceptors(
    authenticator: interceptor.Authenticator | None, database_outage: outage.Outage
) -> list[grpc.aio.ServerInterceptor]:
    """Returns them, the outermost first. Without an authenticator every call is allowed."""
    failures = rpc_errors.Interceptor(database_outage)
    if authenticator is None:
        return [failures]
    return [interceptor.Interceptor(authenticator), failures, responses.Interceptor(authenticator)]
