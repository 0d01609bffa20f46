"""The due time of an occurrence: its nominal time, moved out of blackouts, plus jitter."""

import datetime
import hashlib
import zoneinfo

from duetime_core.model.recurrence import blackouts, local_time
from duetime_core.model.recurrence.spec import Spec
from duetime_core.model.recurrence.steps import Steps

_MICROSECOND = datetime.timedelta(microseconds=1)
_LATEST = datetime.datetime(9999, 12, 30, tzinfo=datetime.UTC)


class DueTimes:
    """The due times of a spec's occurrences."""

    def __init__(self, spec: Spec, zone: zoneinfo.ZoneInfo, seed: str, steps: Steps) -> None:
        self._spec = spec
        self._zone = zone
        self._seed = seed
        self._steps = steps
        self._calendar = blackouts.calendar(spec.blackouts)
        self._moved: dict[
            datetime.datetime, datetime.datetime | None
        ] = {}  # end of a blackout → the occurrence that is due then

    def hold(self, nominal: datetime.datetime) -> blackouts.Hold | None:
        """Returns the effect of blackouts at a nominal time; None if it is in none."""
        return self._calendar.at(local_time.of(nominal, self._zone)) if self._spec.blackouts else None

    def moved(self, nominal: datetime.datetime, hold: blackouts.Hold) -> datetime.datetime | None:
        """Returns the end of the blackouts that it is in, and of those that apply then; None if one of them skips."""
        moment, passed = nominal, []
        while True:
            if hold.skips or hold.end is None or hold.end > local_time.LAST:
                due = None
                break
            moment = max(local_time.reached(hold.end, self._zone, moment), moment + _MICROSECOND)
            if moment in self._moved:
                due = self._moved[moment]
                break
            self._steps.take()
            passed.append(moment)
            following = self._calendar.at(local_time.of(moment, self._zone))
            if following is None:
                due = moment
                break
            hold = following
        self._moved.update(dict.fromkeys(passed, due))
        return due

    def same_until(self, nominal: datetime.datetime, hold: blackouts.Hold) -> datetime.datetime | None:
        """Returns the end of the time range in which nominal times have the same effect; None: the calendar's end."""
        if hold.same_until is None or hold.same_until > local_time.LAST:
            return None
        until = local_time.reached(hold.same_until, self._zone, nominal)
        if local_time.is_set_back(self._zone, nominal, until):
            # A DST transition may repeat local times before the blackout.
            return local_time.change(self._zone, nominal, until)
        return until

    def with_jitter(self, nominal: datetime.datetime, due: datetime.datetime) -> datetime.datetime:
        """Returns the due time with jitter, which moves it neither into a blackout nor past `end_time`."""
        if not self._spec.jitter:
            return due
        latest = due + min(self._spec.jitter, _LATEST - due)
        if self._spec.end_time is not None:
            latest = min(latest, self._spec.end_time)
        if self._spec.blackouts:
            latest = self._free_until(due, latest)
        digest = hashlib.sha256(f"{self._seed} {nominal.isoformat()}".encode()).digest()
        jittered = due + (latest - due) * (int.from_bytes(digest[:8]) / 2**64)
        # A blackout that begins only after two transitions backwards is found here.
        return due if self.hold(jittered) is not None else jittered

    def _free_until(self, due: datetime.datetime, latest: datetime.datetime) -> datetime.datetime:
        """Returns the last moment up to `latest` before which no blackout begins."""
        begin = self._calendar.next_begin(local_time.of(due, self._zone))
        if begin is not None and begin <= local_time.LAST:
            latest = min(latest, local_time.reached(begin, self._zone, due) - _MICROSECOND)
        if latest > due and local_time.is_set_back(self._zone, due, latest):
            change = local_time.change(self._zone, due, latest)
            if self._calendar.at(local_time.of(change, self._zone)) is not None:
                return max(due, change - _MICROSECOND)
            return max(due, self._free_until(change, latest))
        return max(due, latest)
