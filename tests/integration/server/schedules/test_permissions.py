"""A schedule whose tasks a caller may not create is not the caller's to change."""

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.model.access import Principal, Role
from duetime_server import access
from duetime_server.schedules import permissions


@pytest.mark.parametrize("handlers", [frozenset({"Other"}), frozenset[str]()])
async def test_a_template_beyond_the_limits_is_refused(
    engine: sqlalchemy_asyncio.AsyncEngine, handlers: frozenset[str]
) -> None:
    template = schedule.Template(name="noop")
    permissions.check_template(template)
    token = access.principal.set(Principal("key:a", Role.ADMIN, handlers=handlers))
    try:
        with pytest.raises(errors.PermissionDenied, match="handler 'noop'"):
            permissions.check_template(template)
        with pytest.raises(errors.ScheduleNotFound):
            await permissions.check(engine, 7)
    finally:
        access.principal.reset(token)
