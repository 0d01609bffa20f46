"""The HTTP client of the built-in handlers."""

import asyncio
import http.cookiejar
import weakref

import httpcore
import httpx

from duetime_worker import settings
from duetime_worker.egress.backend import Backend
from duetime_worker.egress.policy import Policy

CONNECT_SECONDS = 10
READ_SECONDS = 60
"""How long the server may send nothing."""
_IDLE_SECONDS = 2
"""How long an idle connection is kept. Many servers close theirs after 5 s, perhaps just as it is used again."""

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=_IDLE_SECONDS)

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = weakref.WeakKeyDictionary()


def of_this_loop() -> httpx.AsyncClient:
    """Returns the client of this event loop, which keeps connections until the process ends.

    It enforces DUETIME_EGRESS_ALLOW, _DENY and _PROXY, and raises `policy.Refused` for other destinations.
    """
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = _make(settings.Egress())
    return client


def _make(chosen: settings.Egress) -> httpx.AsyncClient:
    policy = Policy(chosen.allow, chosen.deny)
    proxy = None if chosen.proxy is None else httpx.Proxy(chosen.proxy.get_secret_value())
    return httpx.AsyncClient(
        transport=_Direct(policy) if proxy is None else _Proxied(policy, proxy),
        # The run's timeout limits the whole call.
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None),
        headers={"User-Agent": "Duetime", "Accept-Encoding": "identity"},
        # No task may receive another task's cookies.
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        # The worker's environment sets no proxy, and ~/.netrc no passwords.
        trust_env=False,
        follow_redirects=False,
        event_hooks={"response": [_drop_unreadable_location]},
    )


async def _drop_unreadable_location(response: httpx.Response) -> None:
    """Drops an invalid Location: httpx prepares every redirect, followed or not, and would raise."""
    if "Location" not in response.headers:
        return
    try:
        location = httpx.URL(response.headers["Location"])
        is_readable = not location.scheme or (location.scheme in ("http", "https") and bool(location.host))
    except (httpx.InvalidURL, ValueError):
        is_readable = False
    if not is_readable:
        del response.headers["Location"]


class _Direct(httpx.AsyncHTTPTransport):
    """Connects directly, under the policy."""

    def __init__(self, policy: Policy) -> None:
        context = httpx.create_ssl_context()  # heeds SSL_CERT_FILE
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=Backend(policy),
        )


class _Proxied(httpx.AsyncHTTPTransport):
    """Connects through a proxy, which resolves the names and must itself check their addresses."""

    def __init__(self, policy: Policy, proxy: httpx.Proxy) -> None:
        super().__init__(verify=httpx.create_ssl_context(), limits=_LIMITS, proxy=proxy)
        self._policy = policy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request; raises Refused if the policy forbids it whatever the proxy resolves."""
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        self._policy.check_unresolved(request.url.raw_host.decode(), port)
        return await super().handle_async_request(request)
