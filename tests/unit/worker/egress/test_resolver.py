"""Resolving host names."""

import ipaddress
import threading

import pytest

from duetime_worker.egress import resolver


async def test_lookups_without_a_thread_do_not_count_against_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        for _ in range(resolver._MAX_LOOKUPS + 1):  # one more than the limit
            with pytest.raises(OSError, match="could not start a thread"):
                await resolver.resolve("127.0.0.1", 80)
    assert await resolver.resolve("127.0.0.1", 80) == [ipaddress.ip_address("127.0.0.1")]
