"""Access tokens: who calls with one, and that no forged, borrowed or expired one is accepted."""

import datetime
import json
import pathlib
import time

import pytest
import structlog.testing

from duetime_core.model import errors
from duetime_core.model.access import Principal, Role
from duetime_server.access import issuers, signing_keys, tokens
from tests.support import forgeries, moved_time
from tests.support import issuers as made


@pytest.fixture
def issuer() -> made.Issuer:
    """An issuer whose keys are in a file."""
    return made.Issuer()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> moved_time.MovedTime:
    """The clock of what is remembered, but not PyJWT's."""
    return moved_time.MovedTime(monkeypatch, tokens, signing_keys)


@pytest.fixture
def directory(tmp_path: pathlib.Path, issuer: made.Issuer) -> pathlib.Path:
    """The directory with the file of issuers, and their keys."""
    made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)))
    return tmp_path


@pytest.fixture
def authenticator(directory: pathlib.Path, clock: moved_time.MovedTime) -> tokens.TokenAuthenticator:
    """An authenticator that trusts the issuer."""
    return tokens.TokenAuthenticator(issuers.read(str(directory / "jwt.toml")))


async def refused(authenticator: tokens.TokenAuthenticator, token: str) -> None:
    with pytest.raises(errors.CredentialsInvalid) as raised:
        await authenticator.authenticate(token)
    assert raised.value.message == (
        "The access token is not valid: it has expired, or no trusted issuer signed it for this server."
    )
    assert raised.value.__cause__ is None


async def test_a_token_is_its_subject_with_the_grant_of_its_group(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer
) -> None:
    expires = int(time.time()) + 600
    assert await authenticator.authenticate(issuer.token("limited", exp=expires, email="alice@corp.test")) == Principal(
        "jwt:corp:alice",
        Role.EDITOR,
        may_read_payloads=True,
        handlers=frozenset({"Greet"}),
        queues=frozenset({"mail"}),
        expires_at=datetime.datetime.fromtimestamp(expires, datetime.UTC),
    )
    for role in Role:
        principal = await authenticator.authenticate(issuer.token(role))
        assert (principal.role, principal.may_read_payloads) == (role, role.reads_payloads)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_each_algorithm_is_accepted(
    algorithm: str, tmp_path: pathlib.Path, clock: moved_time.MovedTime, issuer: made.Issuer
) -> None:
    issuer.signers = [made.signer("one", algorithm)]
    path = made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)), algorithms=[algorithm])
    authenticator = tokens.TokenAuthenticator(issuers.read(str(path)))
    await authenticator.authenticate(issuer.token())
    for forge in forgeries.FORGERIES.values():
        await refused(authenticator, forge(issuer))


async def test_an_algorithm_that_the_file_does_not_allow_is_refused(
    tmp_path: pathlib.Path, clock: moved_time.MovedTime, issuer: made.Issuer
) -> None:
    issuer.signers += [made.signer("rsa", "RS256")]
    path = made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)), algorithms=["ES256"])
    authenticator = tokens.TokenAuthenticator(issuers.read(str(path)))
    await authenticator.authenticate(issuer.token())
    await refused(authenticator, issuer.signers[1].sign(issuer.claims()))


@pytest.mark.parametrize(
    "headers", [{}, {"typ": "application/AT+JWT"}, {"typ": "JWT"}, {"typ": ""}, {"x5t": "AAAA", "cty": "x"}], ids=str
)
async def test_access_tokens_of_older_issuers_are_accepted(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, headers: dict[str, str]
) -> None:
    await authenticator.authenticate(issuer.signers[0].sign(issuer.claims(), **headers))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", ["https://other.test", made.AUDIENCE]),
        ("iat", None),
        ("sub", "repo:corp/billing:ref:refs/heads/main"),
        ("sub", "Ada Lovelace ☃"),
        ("sub", "x" * 400),
        ("typ", "Bearer"),
    ],
)
async def test_other_valid_claims_are_accepted(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, claim: str, value: object
) -> None:
    principal = await authenticator.authenticate(issuer.token(**{claim: value}))
    assert principal.actor == f"jwt:corp:{value if claim == 'sub' else 'alice'}"


@pytest.mark.parametrize(("claim", "seconds"), [("exp", 86_400.5), ("exp", -10), ("nbf", 20), ("iat", 20)])
async def test_times_may_be_off_by_the_leeway(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, claim: str, seconds: float
) -> None:
    await authenticator.authenticate(issuer.token(**{claim: time.time() + seconds}))


@pytest.mark.parametrize("forge", forgeries.FORGERIES.values(), ids=forgeries.FORGERIES)
async def test_a_forged_token_is_refused_with_nothing_said(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, forge: forgeries.Forgery
) -> None:
    valid, forged = issuer.token(), forge(issuer)
    await authenticator.authenticate(valid)
    for _ in range(2):
        await refused(authenticator, forged)
    await authenticator.authenticate(valid)


async def test_one_changed_character_of_a_token_is_refused(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer
) -> None:
    token = issuer.token()
    for place, character in enumerate(token):
        for other in ("A", "B", ".", "=", "!"):
            if other != character:
                await refused(authenticator, token[:place] + other + token[place + 1 :])
    await authenticator.authenticate(token)


@pytest.mark.parametrize("groups", [None, [], ["other"], "none", {"admin": True}])
async def test_a_token_of_no_known_group_is_known_but_permits_nothing(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, groups: object
) -> None:
    token = issuer.token(groups=groups)
    for _ in range(2):
        with pytest.raises(tokens.NoGrant, match="permits nothing here") as raised:
            await authenticator.authenticate(token)
        assert raised.value.actor == "jwt:corp:alice"


async def test_a_token_is_refused_once_it_has_expired_also_while_it_is_remembered(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, clock: moved_time.MovedTime
) -> None:
    token = issuer.token(exp=int(time.time()) + 100)
    await authenticator.authenticate(token)
    clock.move(100 + tokens.LEEWAY_SECONDS - 2)
    await authenticator.authenticate(token)
    clock.move(2)
    assert len(authenticator._verified) == 1
    await refused(authenticator, token)
    assert len(authenticator._verified) == 0


async def test_setting_the_clock_back_does_not_prolong_a_token_that_was_verified(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, clock: moved_time.MovedTime
) -> None:
    token = issuer.token(exp=int(time.time()) + 100)
    await authenticator.authenticate(token)
    clock.set(-86_400)
    clock.move(100 + tokens.LEEWAY_SECONDS)
    await refused(authenticator, token)


async def test_a_remembered_token_is_refused_once_its_issuer_has_removed_its_key(
    authenticator: tokens.TokenAuthenticator,
    issuer: made.Issuer,
    clock: moved_time.MovedTime,
    directory: pathlib.Path,
) -> None:
    token = issuer.token()
    await authenticator.authenticate(token)
    issuer.signers = [made.signer("two")]
    issuer.write_keys(directory)
    clock.move(60)
    await authenticator.authenticate(issuer.token())  # the unknown key makes it read the keys again
    await refused(authenticator, token)


async def test_another_key_under_the_same_id_makes_a_remembered_token_be_verified_again(
    authenticator: tokens.TokenAuthenticator,
    issuer: made.Issuer,
    clock: moved_time.MovedTime,
    directory: pathlib.Path,
) -> None:
    token = issuer.token()
    await authenticator.authenticate(token)
    issuer.signers = [made.Signer("one", "ES256", made.signer("another").key)]
    issuer.write_keys(directory)
    clock.move(60)
    await refused(authenticator, made.signer("unknown").sign(issuer.claims()))
    await refused(authenticator, token)
    await authenticator.authenticate(issuer.token())


async def test_a_remembered_token_is_not_verified_again_and_few_are_remembered(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    verified, verify = 0, tokens._verified_claims

    def counting(*arguments: object) -> object:
        nonlocal verified
        verified += 1
        return verify(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tokens, "_verified_claims", counting)
    given = [issuer.token(sub=f"user {number}") for number in range(4)]
    for token in (given[0], given[1], given[0], given[2], given[0], given[3], given[0]):
        await authenticator.authenticate(token)
    assert (verified, len(authenticator._verified)) == (4, 3)
    await authenticator.authenticate(given[1])  # it was the one used longest ago
    assert verified == 5
    for forge in forgeries.FORGERIES.values():
        await refused(authenticator, forge(issuer))
    assert given[1] not in str(authenticator._verified)
    assert len(authenticator._verified) == 3


async def test_tokens_that_are_refused_before_their_key_is_needed_cause_no_read(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object) -> None:
        pytest.fail("it looks for a key")

    monkeypatch.setattr(signing_keys.SigningKeys, "find", read)
    for name in ("not signed", "of another issuer", "rightly signed, with the address of keys in the header"):
        await refused(authenticator, forgeries.FORGERIES[name](issuer))


async def test_issuers_vouch_for_their_own_users_alone(
    tmp_path: pathlib.Path, clock: moved_time.MovedTime, issuer: made.Issuer
) -> None:
    other = made.Issuer("https://other.test", [made.signer("two")])
    text = ""
    for alias, each in (("corp", issuer), ("other", other)):
        (directory := tmp_path / alias).mkdir()
        path = made.write_file(directory, each.url, keys_file=str(each.write_keys(directory)))
        text += path.read_text().replace("[corp", f"[{alias}") + "\n"
    path = tmp_path / "jwt.toml"
    path.write_text(text)
    authenticator = tokens.TokenAuthenticator(issuers.read(str(path)))
    assert (await authenticator.authenticate(issuer.token())).actor == "jwt:corp:alice"
    assert (await authenticator.authenticate(other.token())).actor == "jwt:other:alice"
    await refused(authenticator, other.token(iss=issuer.url))
    await refused(authenticator, made.Signer("one", "ES256", other.signers[0].key).sign(issuer.claims()))


async def test_why_tokens_are_refused_is_logged_once_a_minute_and_quotes_nothing(
    authenticator: tokens.TokenAuthenticator, issuer: made.Issuer, clock: moved_time.MovedTime
) -> None:
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            for number in range(100):
                await refused(authenticator, issuer.token(aud=f"planted_hunter2 {number}"))
                await refused(authenticator, issuer.token(exp=1000 + number))
            clock.move(60)
        for forge in forgeries.FORGERIES.values():
            await refused(authenticator, forge(issuer))
    reasons = [each["reason"] for each in logged]
    assert reasons[:4] == ["it is for another audience ('aud')", "it has expired"] * 2
    assert len(reasons) < len(forgeries.FORGERIES)
    assert {each["event"] for each in logged} == {"access token refused"}
    written = json.dumps(logged)
    assert "hunter2" not in written
    assert "evil.test" not in written


@pytest.mark.parametrize(
    ("bearer", "is_one"),
    [("eyJ.e30.x", True), ("ey..", True), ("eyJ.e30", False), ("eyJ.a.b.c.d", False), ("dt_a_b_c", False), ("", False)],
)
def test_what_has_three_parts_is_a_token(bearer: str, is_one: bool) -> None:
    assert tokens.is_token(bearer) is is_one
