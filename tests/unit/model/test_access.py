"""Roles."""

import pytest

from duetime_core.model.access import Role

LADDER = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]


@pytest.mark.parametrize(("lower", "role"), list(enumerate(LADDER)))
def test_a_role_includes_those_below_it(lower: int, role: Role) -> None:
    assert [other for other in LADDER if role.includes(other)] == LADDER[: lower + 1]


@pytest.mark.parametrize("role", list(Role))
def test_only_who_may_create_any_task_may_do_what_a_submitter_may(role: Role) -> None:
    assert role.includes(Role.SUBMITTER) == (role in (Role.SUBMITTER, Role.EDITOR, Role.ADMIN))


@pytest.mark.parametrize("role", LADDER)
def test_a_submitter_may_do_nothing_else(role: Role) -> None:
    assert not Role.SUBMITTER.includes(role)
