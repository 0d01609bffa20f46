"""How many synchronous standbys PostgreSQL's setting requires, and how many of them are connected."""

import pytest

from duetime_core.postgres import replication

CONNECTED = (
    replication.Standby("a", True, "sync", 0, 0.0),
    replication.Standby("b", True, "potential", 0, 0.0),
    replication.Standby("c", True, "async", 0, 0.0),
)
HIDDEN = tuple(replication.Standby(name, False, None, None, None) for name in ("a", "B", "c"))


@pytest.mark.parametrize(
    ("setting", "required", "synchronous"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("a, b", 1, 2),
        ("*", 1, 3),
        ("2 (x, b)", 2, 1),
        ("FIRST 2 (a, x)", 2, 1),
        ("any 2 ( a ,b, c )", 2, 3),
        ('first 1 ("x y", "A")', 1, 1),
        ('"any"', 1, 0),
    ],
)
def test_standbys_whose_state_is_hidden_count_by_name(setting: str, required: int, synchronous: int) -> None:
    found = replication.Replication(setting, "on", "duetime", HIDDEN, ())
    assert (found.required, found.synchronous) == (required, synchronous)


def test_standbys_whose_state_is_visible_count_by_it() -> None:
    assert replication.Replication("2 (a, b, x)", "on", "duetime", CONNECTED, ()).synchronous == 1


@pytest.mark.parametrize("synchronous_commit", ["off", "local"])
def test_commits_that_wait_for_no_standby_require_none(synchronous_commit: str) -> None:
    assert replication.Replication("a", synchronous_commit, "duetime", (), ()).required == 0
