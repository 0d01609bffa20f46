"""The checker: ten rules that hold for every history, whatever happened to the system meanwhile.

In the manner of Jepsen's analysis of Chronos: it knows what was asked and what was seen, and nothing of how the
system is made. What it holds to be legal stands here, and is not read from the product.
"""

import dataclasses

from tests.chaos import rules_of_calls, rules_of_histories, rules_of_runs, rules_of_schedules, rules_of_watches
from tests.chaos.evidence import Evidence

_RULES = {
    1: rules_of_calls.accepted_tasks_end,
    2: rules_of_runs.nothing_is_early,
    3: rules_of_histories.histories_are_sound,
    4: rules_of_calls.what_was_stopped_stays_stopped,
    5: rules_of_calls.no_update_is_lost,
    6: rules_of_calls.a_request_makes_one_task,
    7: rules_of_watches.watches_have_no_gap,
    8: rules_of_runs.every_run_is_explained,
    9: rules_of_histories.no_lease_is_forgotten,
    10: rules_of_schedules.each_nominal_time_has_one_task,
}


@dataclasses.dataclass(frozen=True)
class Violation:
    """A rule that does not hold, and where."""

    rule: int
    text: str


def check(evidence: Evidence) -> list[Violation]:
    """Returns everything that breaks a rule; an empty list is what we want."""
    return [Violation(number, text) for number, rule in _RULES.items() for text in rule(evidence)]


def broken_rules(violations: list[Violation]) -> set[int]:
    """Returns the numbers of the rules that were broken."""
    return {violation.rule for violation in violations}


def report(violations: list[Violation], *, most: int = 20) -> str:
    """Returns the first of them, for people."""
    lines = [f"rule {violation.rule}: {violation.text}" for violation in violations[:most]]
    if len(violations) > most:
        lines.append(f"… and {len(violations) - most} more")
    return "\n".join(lines)
