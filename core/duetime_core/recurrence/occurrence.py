"""What a spec gives: its occurrences, and the times at which it would have one and has none."""

import dataclasses
import datetime
import hashlib
import itertools
import zoneinfo
from collections.abc import Iterator

from duetime_core.recurrence import cron, local_time, zones
from duetime_core.recurrence.spec import EPOCH, BlackoutBehavior, Spec

_MICROSECOND = datetime.timedelta(microseconds=1)
_MOST_SINGLY = 100
"""How many occurrences that are skipped in a row are told one by one; those after them are told by their blackout."""
_MOST_BLACKOUTS = 1_000
"""How many blackouts in a row leave nothing before it counts as never."""


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """A time at which the spec is due. All times are in UTC.

    `nominal` is the time by the rule, and names the occurrence. It is `due` later, if a blackout moved it or by jitter.
    """

    nominal: datetime.datetime
    due: datetime.datetime
    is_moved: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Skip:
    """A nominal time that has no occurrence, and why; if `until` is later, all of them before that."""

    nominal: datetime.datetime
    until: datetime.datetime
    reason: str


def occurrences(spec: Spec, after: datetime.datetime, *, seed: str = "") -> Iterator[Occurrence]:
    """Yields the occurrences with a nominal time after `after`, in that order: for ever, if the spec goes on for ever.

    The jitter of an occurrence depends on `seed` and its nominal time alone.
    """
    return (event for event in events(spec, after, seed=seed) if isinstance(event, Occurrence))


def events(spec: Spec, after: datetime.datetime, *, seed: str = "") -> Iterator[Occurrence | Skip]:
    """Yields the occurrences as `occurrences` does, and between them what is skipped.

    Ends, too, where nothing is left of the spec by its blackouts.
    """
    zone = zones.zone(spec.time_zone)
    if spec.start_time is not None:
        after = max(after, spec.start_time - _MICROSECOND)
    singly = in_a_row = 0
    nominals = _nominals(spec, zone, after)
    while (found := next(nominals, None)) is not None:
        nominal, is_left_out = found
        if spec.end_time is not None and nominal > spec.end_time:
            return
        if is_left_out:
            yield Skip(nominal, nominal, f"the clock of {spec.time_zone} leaves this time out")
            continue
        due, ends = _after_blackouts(spec, zone, nominal)
        if due is not None:
            singly = in_a_row = 0
            yield Occurrence(nominal, due + _jitter(spec, seed, nominal), is_moved=due != nominal)
            continue
        singly += 1
        if singly <= _MOST_SINGLY:
            yield Skip(nominal, nominal, "it lies in a blackout")
            continue
        yield Skip(nominal, ends, "they lie in a blackout")
        in_a_row += 1
        if in_a_row > _MOST_BLACKOUTS:
            return
        nominals = _nominals(spec, zone, ends - _MICROSECOND)


def last_between(
    spec: Spec, after: datetime.datetime, until: datetime.datetime, *, seed: str = ""
) -> Occurrence | None:
    """Returns the last occurrence with a nominal time after `after` and not after `until`; None if there is none."""
    span = datetime.timedelta(minutes=1)
    while True:
        since = max(after, until - span) if until - EPOCH > span else after
        found = None
        for occurrence in occurrences(spec, since, seed=seed):
            if occurrence.nominal > until:
                break
            found = occurrence
        if found is not None or since <= after:
            return found
        span *= 16


def _nominals(
    spec: Spec, zone: zoneinfo.ZoneInfo, after: datetime.datetime
) -> Iterator[tuple[datetime.datetime, bool]]:
    if spec.cron is not None:
        return cron.matches(spec, zone, after)
    return ((moment, False) for moment in _intervals(spec, after))


def _intervals(spec: Spec, after: datetime.datetime) -> Iterator[datetime.datetime]:
    assert spec.interval is not None
    anchor = (spec.anchor or EPOCH).astimezone(datetime.UTC)
    try:
        for number in itertools.count((after - anchor) // spec.interval + 1):
            yield anchor + number * spec.interval
    except OverflowError:  # the year 10,000
        return


def _after_blackouts(
    spec: Spec, zone: zoneinfo.ZoneInfo, nominal: datetime.datetime
) -> tuple[datetime.datetime | None, datetime.datetime]:
    """Returns when an occurrence is due, None if a blackout skips it, and when the last blackout in its way ends."""
    moment = nominal
    for _ in range(_MOST_BLACKOUTS):
        local = local_time.of(moment, zone)
        held = [(blackout, end) for blackout in spec.blackouts if (end := blackout.end(local)) is not None]
        if not held:
            return moment, moment
        end = max(end for _, end in held)
        ends = max(local_time.instants(end, zone)[0], moment + _MICROSECOND)
        if any(blackout.behavior is BlackoutBehavior.SKIP for blackout, _ in held):
            return None, ends
        moment = ends
    return None, moment


def _jitter(spec: Spec, seed: str, nominal: datetime.datetime) -> datetime.timedelta:
    if not spec.jitter:
        return spec.jitter
    digest = hashlib.sha256(f"{seed} {nominal.isoformat()}".encode()).digest()
    return spec.jitter * (int.from_bytes(digest[:8]) / 2**64)
