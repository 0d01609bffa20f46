"""Looking up the addresses of a host."""

import ipaddress
import threading

import pytest

from duetime_worker.egress import resolver


async def test_lookups_for_which_there_is_no_thread_keep_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        for _ in range(resolver._MAX_LOOKUPS + 1):  # one more than there are places
            with pytest.raises(OSError, match="no thread could be started"):
                await resolver.resolve("127.0.0.1", 80)
    assert await resolver.resolve("127.0.0.1", 80) == [ipaddress.ip_address("127.0.0.1")]
