"""Tokens of a real issuer: its access tokens are accepted, through rotations and outages, and its id_tokens are not."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from duetime_core.model import errors
from duetime_core.model.access import Role
from duetime_server.access import issuers, key_source, signing_keys, tokens
from tests.support import issuers as made
from tests.support import moved_time, real_issuers


@pytest_asyncio.fixture
async def issuer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[real_issuers.RealIssuer]:
    """A running issuer, which this process trusts."""
    async with real_issuers.running(tmp_path) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca))
        key_source._context.cache_clear()
        yield running
    key_source._context.cache_clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> moved_time.MovedTime:
    """The clock of what is known of the issuer."""
    return moved_time.MovedTime(monkeypatch, signing_keys)


@pytest.fixture
def authenticator(
    issuer: real_issuers.RealIssuer, clock: moved_time.MovedTime, tmp_path: pathlib.Path
) -> tokens.TokenAuthenticator:
    """An authenticator that trusts it."""
    return tokens.TokenAuthenticator(issuers.read(str(made.write_file(tmp_path, issuer.url))))


async def test_programs_and_users_have_the_grants_of_their_groups(
    issuer: real_issuers.RealIssuer, authenticator: tokens.TokenAuthenticator
) -> None:
    program = await authenticator.authenticate(await issuer.token_of_a_program())
    user = await authenticator.authenticate((await issuer.tokens_of_a_user())[0])
    assert (program.actor, program.role) == ("jwt:corp:deploy", Role.EDITOR)
    assert (user.actor, user.role) == ("jwt:corp:alice", Role.VIEWER)


async def test_an_id_token_is_refused_although_its_audience_and_group_are_right(
    issuer: real_issuers.RealIssuer, authenticator: tokens.TokenAuthenticator
) -> None:
    _, id_token = await issuer.tokens_of_a_user()
    with pytest.raises(errors.CredentialsInvalid):
        await authenticator.authenticate(id_token)


async def test_a_rotated_key_is_found_and_the_old_one_is_accepted_as_long_as_it_is_published(
    issuer: real_issuers.RealIssuer, authenticator: tokens.TokenAuthenticator, clock: moved_time.MovedTime
) -> None:
    old = await issuer.token_of_a_program()
    await authenticator.authenticate(old)
    issuer.rotate("two")
    new = await issuer.token_of_a_program()
    with pytest.raises(errors.CredentialsInvalid):
        await authenticator.authenticate(new)  # the keys were read within this minute
    clock.move(60)
    for token in (new, old):
        await authenticator.authenticate(token)
    issuer.forget("one")
    issuer.rotate("three")
    clock.move(60)
    await authenticator.authenticate(await issuer.token_of_a_program())
    await authenticator.authenticate(new)
    with pytest.raises(errors.CredentialsInvalid):
        await authenticator.authenticate(old)


async def test_its_tokens_are_accepted_while_it_is_down(
    issuer: real_issuers.RealIssuer, authenticator: tokens.TokenAuthenticator, clock: moved_time.MovedTime
) -> None:
    known, unknown = await issuer.token_of_a_program(), await issuer.token_of_a_program()
    await authenticator.authenticate(known)
    await issuer.process.kill()
    clock.move(signing_keys.KEPT_SECONDS - 60)
    for token in (known, unknown):
        await authenticator.authenticate(token)
    clock.move(60)
    with pytest.raises(errors.IssuerUnavailable):
        await authenticator.authenticate(known)
