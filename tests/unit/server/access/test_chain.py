"""Who calls is decided before a request is parsed, and payloads are emptied before a response is written."""

from duetime_core.process import outage
from duetime_server.access import chain, interceptor, responses
from duetime_server.rpc import errors as rpc_errors
from tests.support import principals

OUTAGE = outage.Outage("the database", "calls fail")


def test_access_is_outermost_and_responses_are_innermost() -> None:
    kinds = [type(each) for each in chain.interceptors(principals.Tokens(), OUTAGE)]
    assert kinds == [interceptor.Interceptor, rpc_errors.Interceptor, responses.Interceptor]


def test_an_open_server_has_neither() -> None:
    assert [type(each) for each in chain.interceptors(None, OUTAGE)] == [interceptor.Open, rpc_errors.Interceptor]
