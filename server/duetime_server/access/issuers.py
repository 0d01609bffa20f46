"""The issuers whose access tokens a server accepts, and what these permit: the file that DUETIME_JWT_FILE names."""

import pathlib
import tomllib
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic

from duetime_core.model import access
from duetime_server.access import key_sets

MAX_ALIAS = 32
"""Characters."""

Text = Annotated[str, pydantic.StringConstraints(strict=True, min_length=1, max_length=255)]
# Without a colon, so that the parts of an actor, such as `jwt:corp:alice`, are clear.
Alias = Annotated[str, pydantic.StringConstraints(pattern=rf"^[a-z0-9-]{{1,{MAX_ALIAS}}}$")]
Names = Annotated[list[Text], pydantic.Field(min_length=1)]


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Grant(_Table):
    """What a token with a certain value in its issuer's claim permits."""

    value: Text
    role: access.Role
    may_read_payloads: pydantic.StrictBool = False
    handlers: Names | None = None
    queues: Names | None = None


def _check_issuer(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        is_issuer = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_issuer = False
    if not is_issuer or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an https:// URL without a query, exactly as it is in the claim 'iss'")
    return url


def _as_path(claim: object) -> object:
    return [claim] if isinstance(claim, str) else claim


class Issuer(_Table):
    """One that signs access tokens."""

    issuer: Annotated[Text, pydantic.AfterValidator(_check_issuer)]
    """The value of the claim `iss`. Its discovery document names its keys."""
    audience: Text
    """The value of the claim `aud`, or one of its values."""
    claim: Annotated[Names, pydantic.BeforeValidator(_as_path)]
    """The claim that decides which grant counts: its name, or the names that lead to it through nested objects."""
    grants: Annotated[list[Grant], pydantic.Field(min_length=1)]
    """The first one whose value the token has counts."""
    algorithms: Annotated[list[key_sets.Algorithm], pydantic.Field(min_length=1)] = list(key_sets.ALGORITHMS)
    keys_file: pathlib.Path | None = None
    """A file with its keys, which takes the place of the discovery document."""

    @pydantic.field_validator("keys_file")
    @classmethod
    def _check_keys(cls, path: pathlib.Path | None, info: pydantic.ValidationInfo) -> pathlib.Path | None:
        if path is not None:
            try:
                key_sets.parse(path.read_bytes(), info.data.get("algorithms", key_sets.ALGORITHMS))
            except (OSError, ValueError) as error:  # ValueError also for a null byte in the path
                raise ValueError(f"cannot use {path}: {getattr(error, 'strerror', None) or error}") from None
        return path

    def grant(self, claims: Mapping[str, Any]) -> Grant | None:
        """Returns the grant that counts for a token with these claims; None if it has none."""
        values = self._values(claims)
        return next((grant for grant in self.grants if grant.value in values), None)

    def _values(self, claims: Mapping[str, Any]) -> Sequence[str]:
        found: Any = claims
        for name in self.claim:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str):
            return [found, *found.split(" ")]  # one value or, as in `scope`, several
        return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


Issuers = dict[Alias, Issuer]
"""By the alias with which logs name their users."""

_FILE: pydantic.TypeAdapter[Issuers] = pydantic.TypeAdapter(Annotated[Issuers, pydantic.Field(min_length=1)])


def read(path: str) -> Issuers:
    """Reads a file of issuers. Raises ValueError with each invalid field of it, and what would be right."""
    try:
        tables = tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: neither text nor TOML, or a null byte in the path
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        found = _FILE.validate_python(tables)
    except pydantic.ValidationError as error:
        raise ValueError(
            "; ".join(f"{path}: {_place(each['loc'])}: {_message(each)}" for each in error.errors())
        ) from None
    seen: dict[str, str] = {}
    for alias, each in found.items():
        if (other := seen.setdefault(each.issuer, alias)) != alias:
            raise ValueError(f"{path}: {alias}.issuer: is that of [{other}] too; write its grants in one table")
    return found


def _message(problem: Any) -> str:
    if problem["loc"][-1:] == ("[key]",):
        return f"an alias has 1 to {MAX_ALIAS} lower-case letters, digits and '-'"
    if not problem["loc"]:
        return "it has no issuer; write a table for each, such as [corp]"
    message: str = problem["msg"]
    return message.removeprefix("Value error, ")


def _place(location: Sequence[str | int]) -> str:
    """Returns where in the file a problem is, such as `corp.grants[0].role`."""
    written = ""
    for part in location:
        written += f"[{part}]" if isinstance(part, int) else f".{part}"
    return written.removeprefix(".").removesuffix(".[key]") or "the file"
