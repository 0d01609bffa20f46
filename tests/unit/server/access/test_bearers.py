"""What looks like a token is one where issuers are trusted; everything else is an API key."""

import pathlib
from typing import Any

import pytest

from duetime_core.model import api_key, errors
from duetime_core.model.access import Principal, Role
from duetime_server.access import bearers, issuers, tokens
from tests.support import issuers as made

KEY = Principal("key:3mJr7AoUXx2W", Role.VIEWER, key_id="3mJr7AoUXx2W")


class Keys:
    """Knows every API key."""

    def __init__(self) -> None:
        self.used: list[tuple[Principal, str]] = []

    async def authenticate(self, token: str) -> Principal:
        if not token.startswith("dt_"):
            raise errors.CredentialsInvalid
        return KEY

    def came_from(self, principal: Principal, address: str) -> None:
        self.used.append((principal, address))


async def test_keys_and_tokens_are_both_accepted_and_only_uses_of_keys_are_noted(tmp_path: pathlib.Path) -> None:
    issuer = made.Issuer()
    path = made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)))
    keys: Any = Keys()
    both = bearers.BearerAuthenticator(keys, tokens.TokenAuthenticator(issuers.read(str(path))))
    of_key = await both.authenticate(api_key.Token.create().write())
    of_token = await both.authenticate(issuer.token())
    assert (of_key.actor, of_token.actor) == ("key:3mJr7AoUXx2W", "jwt:corp:alice")
    for principal in (of_key, of_token):
        both.came_from(principal, "192.0.2.7")
    assert keys.used == [(KEY, "192.0.2.7")]
    with pytest.raises(errors.CredentialsInvalid, match="The API key is not valid"):
        await both.authenticate("neither")


async def test_without_issuers_a_token_is_an_unknown_key() -> None:
    keys: Any = Keys()
    both = bearers.BearerAuthenticator(keys, tokens.TokenAuthenticator({}))
    with pytest.raises(errors.CredentialsInvalid, match="The API key is not valid"):
        await both.authenticate(made.Issuer().token())
