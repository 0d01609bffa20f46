"""Builds the messages that Send Email sends."""

import email.message
import email.policy
import email.utils
import urllib.parse
from collections.abc import Iterator, Sequence

from duetime_core.model import builtin
from duetime_core.model.builtin import mail_headers
from duetime_core.model.builtin.addresses import Address
from duetime_worker import handlers
from duetime_worker.builtin import header_lines
from duetime_worker.builtin.parts import Part


def needs_smtputf8(mail: builtin.Email) -> bool:
    """Returns whether the server must support non-ASCII addresses (SMTPUTF8, RFC 6531)."""
    return not all(address.spec.isascii() for address in [*mail.recipients, *(mail.reply_to or ())])


def make_message(
    run: handlers.Task,
    mail: builtin.Email,
    sender: Address,
    *,
    attached: Sequence[Part] = (),
    inline: Sequence[Part] = (),
) -> email.message.EmailMessage:
    """Returns the message of this run, with attachments and with files that its HTML shows inline.

    Its body is ASCII, and so are its headers unless an address is not. A retry has the same Message-ID, so that the
    receiving server can drop a duplicate. Its Date is when the run was due.
    """
    policy = email.policy.SMTPUTF8 if needs_smtputf8(mail) else email.policy.SMTP
    # Do not refold the lines of header_lines.
    message = email.message.EmailMessage(policy.clone(cte_type="7bit", refold_source="none"))
    for name, value in _headers(run, mail, sender):
        message.set_raw(name, value)
    if mail.html is None:
        message.set_content(mail.body)
    elif not mail.body:
        message.set_content(mail.html, subtype="html")
    else:
        message.set_content(mail.body)
        message.add_alternative(mail.html, subtype="html")
    page = message.get_body(("html",)) if inline else None
    for part in inline:
        assert isinstance(page, email.message.EmailMessage)
        page.add_related(part.content, *part.media_type.split("/"), cid=f"<{part.filename}>")
        _name([*page.iter_parts()][-1], "inline", part.filename)
    for part in attached:
        message.add_attachment(part.content, *part.media_type.split("/"))
        _name([*message.iter_parts()][-1], "attachment", part.filename)
    return message


def _headers(run: handlers.Task, mail: builtin.Email, sender: Address) -> Iterator[tuple[str, str]]:
    yield "From", header_lines.addresses("From", [sender])
    yield "To", header_lines.addresses("To", mail.email)
    if mail.cc:
        yield "Cc", header_lines.addresses("Cc", mail.cc)
    if mail.reply_to:
        yield "Reply-To", header_lines.addresses("Reply-To", mail.reply_to)
    yield "Subject", header_lines.text("Subject", mail.subject)
    yield "Date", email.utils.format_datetime(max(run.execution_time, run.created_at))
    yield "Message-ID", f"<duetime-{run.task_id}-{run.created_at:%Y%m%d%H%M%S%f}@{sender.domain}>"
    for name, value in mail.headers.items():
        write = header_lines.text if mail_headers.takes_any_text(name) else header_lines.tokens
        yield name, write(name, value)


def _name(part: email.message.MIMEPart, disposition: str, filename: str) -> None:
    """Sets the filename of a part: quoted, or encoded by RFC 2231. It is short enough for one line."""
    if filename.isascii() and "=?" not in filename:  # many readers decode encoded words here, contrary to RFC 2047
        quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
        named = f'filename="{quoted}"'
    else:
        named = f"filename*=utf-8''{urllib.parse.quote(filename, safe='')}"
    del part["Content-Disposition"]
    part.set_raw("Content-Disposition", f"{disposition};\r\n {named}")
