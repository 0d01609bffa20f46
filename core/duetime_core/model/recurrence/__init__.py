"""When recurring work is due: pure functions of a `Spec`, without a database and without a clock of their own."""

from duetime_core.model.recurrence.cron import repeated_time
from duetime_core.model.recurrence.local_time import instants
from duetime_core.model.recurrence.occurrence import Occurrence, Skip, events, just_before, last_between, occurrences
from duetime_core.model.recurrence.spec import Blackout, BlackoutBehavior, MissingTime, RepeatedTime, Spec
from duetime_core.model.recurrence.steps import Steps, TooManyStepsError
from duetime_core.model.recurrence.validation import Problem, problems
from duetime_core.model.recurrence.zones import UnknownZoneError, version, zone

__all__ = [
    "Blackout",
    "BlackoutBehavior",
    "MissingTime",
    "Occurrence",
    "Problem",
    "RepeatedTime",
    "Skip",
    "Spec",
    "Steps",
    "TooManyStepsError",
    "UnknownZoneError",
    "events",
    "instants",
    "just_before",
    "last_between",
    "occurrences",
    "problems",
    "repeated_time",
    "version",
    "zone",
]
