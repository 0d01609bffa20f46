"""The messages that Send Email sends."""

import email.message
import email.policy
import email.utils
from email import headerregistry

from duetime_core import builtin
from duetime_worker import handlers


def needs_smtputf8(mail: builtin.Email) -> bool:
    """Tells whether only a server that takes addresses beyond ASCII (RFC 6531) can send it."""
    return not all(address.addr_spec.isascii() for address in mail.email)


def make_message(run: handlers.Task, mail: builtin.Email, sender: headerregistry.Address) -> email.message.EmailMessage:
    """Returns the message of this run. All but its headers is ASCII, and so are these unless an address is not.

    A retry has the same Message-ID, by which the receiver's side can drop what it already has. Its Date is when
    the run was due: a mail that waited out an outage is not an old one.
    """
    policy = email.policy.SMTPUTF8 if needs_smtputf8(mail) else email.policy.SMTP
    message = email.message.EmailMessage(policy.clone(cte_type="7bit"))
    message["From"] = sender
    message["To"] = mail.email
    message["Subject"] = mail.subject
    message["Date"] = email.utils.format_datetime(max(run.execution_time, run.created_at))
    message["Message-ID"] = f"<duetime-{run.task_id}-{run.created_at:%Y%m%d%H%M%S%f}@{sender.domain}>"
    if mail.html is None:
        message.set_content(mail.body)
    elif not mail.body:
        message.set_content(mail.html, subtype="html")
    else:
        message.set_content(mail.body)
        message.add_alternative(mail.html, subtype="html")
    return message
