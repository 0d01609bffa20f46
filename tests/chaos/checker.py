"""The checker: ten rules that hold for every history, under any faults.

As in Jepsen's analysis of Chronos, it knows the calls and the observations, and nothing of the implementation. The
legal histories are defined here, and not taken from the product.
"""

import dataclasses

from tests.chaos import losses, rules_of_calls, rules_of_histories, rules_of_runs, rules_of_schedules, rules_of_watches
from tests.chaos.evidence import Evidence

_RULES = {
    1: rules_of_calls.accepted_tasks_end,
    2: rules_of_runs.nothing_is_early,
    3: rules_of_histories.histories_are_sound,
    4: rules_of_calls.stopped_tasks_stay_stopped,
    5: rules_of_calls.no_update_is_lost,
    6: rules_of_calls.a_request_makes_one_task,
    7: rules_of_watches.watches_have_no_gap,
    8: rules_of_runs.every_run_is_explained,
    9: rules_of_histories.no_lease_is_forgotten,
    10: rules_of_schedules.each_nominal_time_has_one_task,
}


@dataclasses.dataclass(frozen=True)
class Violation:
    """A broken rule, and where it is broken."""

    rule: int
    text: str


def check(evidence: Evidence) -> list[Violation]:
    """Returns all violations; an empty list means that the history is sound."""
    remaining = losses.without_them(evidence)
    return [Violation(number, text) for number, rule in _RULES.items() for text in rule(remaining)]


def broken_rules(violations: list[Violation]) -> set[int]:
    """Returns the numbers of the broken rules."""
    return {violation.rule for violation in violations}


def report(violations: list[Violation], *, most: int = 20) -> str:
    """Returns a readable list of the first violations."""
    lines = [f"rule {violation.rule}: {violation.text}" for violation in violations[:most]]
    if len(violations) > most:
        lines.append(f"… and {len(violations) - most} more")
    return "\n".join(lines)
