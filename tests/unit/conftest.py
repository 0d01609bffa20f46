"""Fixtures of the client's tests."""

import pytest

from tests.support import answers


@pytest.fixture(params=[answers.call_async, answers.call_sync], ids=["async", "sync"])
def call(request: pytest.FixtureRequest) -> answers.Caller:
    """Calls a method of the asynchronous or the synchronous client."""
    caller: answers.Caller = request.param
    return caller
