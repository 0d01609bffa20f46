"""The specifications of the built-in handlers. The worker runs them; the server validates their task_data."""

import datetime

from duetime_core.model import names, task
from duetime_core.model.builtin.mail import Email
from duetime_core.model.builtin.report import Report
from duetime_core.model.builtin.spec import Spec
from duetime_core.model.builtin.webhook import Webhook

__all__ = ["BY_LETTERS", "CALL_WEBHOOK", "GENERATE_REPORT", "SEND_EMAIL", "SPECS", "Email", "Report", "Spec", "Webhook"]

_SECOND = datetime.timedelta(seconds=1)
_MINUTE = datetime.timedelta(minutes=1)
_HOUR = datetime.timedelta(hours=1)

SEND_EMAIL = Spec(
    "Send Email",
    Email,
    # About four days, as RFC 5321 (4.5.4.1) wants, and soon enough for servers that greylist.
    retries=task.Retries(30, task.RetryPolicy(initial_backoff=5 * _MINUTE, max_backoff=4 * _HOUR)),
    timeout=30 * _SECOND,
    max_timeout=10 * _MINUTE,  # what a slow server may take for one answer (RFC 5321, 4.5.3.2)
)
CALL_WEBHOOK = Spec(
    "Call Webhook",
    Webhook,
    # About two and a half hours: a deployment or a restart of the receiver.
    retries=task.Retries(10, task.RetryPolicy(initial_backoff=10 * _SECOND, max_backoff=_HOUR)),
    timeout=30 * _SECOND,
    max_timeout=5 * _MINUTE,
)
GENERATE_REPORT = Spec(
    "Generate Report",
    Report,
    # About five hours: what it needs is a database, a place for the files and perhaps a mail server.
    retries=task.Retries(10, task.RetryPolicy(initial_backoff=_MINUTE, max_backoff=_HOUR)),
    timeout=10 * _MINUTE,
    max_timeout=_HOUR,
)

SPECS = {spec.name: spec for spec in (SEND_EMAIL, CALL_WEBHOOK, GENERATE_REPORT)}

BY_LETTERS = {names.letters(name): name for name in SPECS}
"""The letters of a built-in handler's name → the name."""
