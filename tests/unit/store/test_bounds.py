"""From where on claims read."""

import datetime

from duetime_core.postgres import schema
from duetime_core.store.claiming import bounds

NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)


def test_a_look_at_everything_is_not_begun_anew_before_it_has_come_to_its_end() -> None:
    clock = [0.0]
    known = bounds.KeyedBounds(NOW, [NOW] * (schema.MAX_LEVEL + 1), lambda: clock[0])
    under_way, known.after_key = known.old, "m"
    clock[0] += 61
    known.sweep()
    assert (known.old, known.after_key) == (under_way, "m")
    known.old = known.after_key = None
    known.sweep()
    assert (known.old, known.after_key) == (None, None)
    clock[0] += 61
    known.sweep()
    assert known.old is not None
    assert known.after_key == ""
