"""The files that a mail carries."""

import base64
import binascii
import mimetypes
import re
from typing import Annotated
from urllib import parse

import pydantic

from duetime_core.model import quoting, validation

MAX_ATTACHMENTS = 20
MAX_BYTES = 15 * 1024 * 1024
"""The total size. In base64 it is 20 MiB, and many servers accept mails of 25 MB."""
_MAX_NAME_BYTES = 255
_REVERSING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Unicode's embeddings, overrides and isolates, which make `gpj.exe` read as `exe.jpg`."""
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE | re.ASCII)


def _check_filename(name: str) -> str:
    if not name.strip() or quoting.CONTROL.search(name) or re.search(r"[/\\]", name):
        raise ValueError("must be a file's name, on one line and without a path")
    if _REVERSING.search(name):
        raise ValueError("must not contain characters that change the direction of what follows them")
    if len(name.encode(errors="surrogatepass")) > _MAX_NAME_BYTES:
        raise ValueError(f"must be at most {_MAX_NAME_BYTES} bytes long")
    return name


def _check_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError("must be a media type such as application/pdf")
    if value.lower().startswith(("multipart/", "message/")):
        raise ValueError("must not be multipart/… or message/…: a file is attached as it is")
    return value.lower()


def _decode(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be base64, as text")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None


def _check_url(value: str) -> str:
    try:
        found = parse.urlsplit(value)
        is_right = found.scheme in ("http", "https") and bool(found.hostname)
    except ValueError:
        is_right = False
    if not is_right or quoting.CONTROL.search(value) or " " in value:
        # The given value may be a secret.
        raise ValueError("must be a URL such as https://example.com/report.pdf")
    return value


class Attachment(pydantic.BaseModel, extra="forbid"):
    """A file: its content in base64, or the URL that it is fetched from when the mail is sent."""

    filename: Annotated[str, pydantic.AfterValidator(_check_filename)]
    content_type: Annotated[str, pydantic.AfterValidator(_check_type)] | None = None
    """Default: guessed from the extension of the filename."""
    content: Annotated[bytes, pydantic.PlainValidator(_decode)] | None = None
    url: Annotated[str, pydantic.Field(max_length=8000), pydantic.AfterValidator(_check_url)] | None = None

    @property
    def media_type(self) -> str:
        """Its content_type, or the one guessed from the filename."""
        return self.content_type or _TYPES.guess_type(self.filename)[0] or "application/octet-stream"

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Attachment":
        if (self.content is None) == (self.url is None):
            raise ValueError("must have either content, in base64, or url")
        return self


_TYPES = mimetypes.MimeTypes()
"""Without the entries of this machine's files, which differ."""

Attachments = Annotated[list[Attachment], validation.at_most(MAX_ATTACHMENTS)]
