"""A user's module that imports a handler from another one."""

from tests.unit.worker.handler_modules.own_email import send

__all__ = ["send"]
