"""API keys: their form, their checksum, and what a principal may give away."""

import re
import string

import hypothesis
import hypothesis.strategies as st
import pytest

from duetime_core.model.access import Principal, Role
from duetime_core.model.api_key import Grant, Malformed, Token, is_id

DIGITS = string.digits + string.ascii_letters
TOKENS = st.builds(
    Token, st.text(DIGITS, min_size=12, max_size=12), st.text(DIGITS, min_size=43, max_size=43)
) | st.builds(Token.create)
ALL = Principal("key:all", Role.ADMIN, may_read_payloads=True)
NAMES = st.none() | st.frozensets(st.sampled_from(["Send Email", "Call Webhook", "Greet"]))
GRANTS = st.builds(Grant, st.just("ci"), st.sampled_from(Role), st.booleans(), NAMES, NAMES)


@hypothesis.given(TOKENS)
def test_a_key_is_read_as_it_was_written(token: Token) -> None:
    assert Token.parse(token.write()) == token
    assert Token.parse(token.write()).matches(token.digest())


@hypothesis.given(TOKENS, st.data())
def test_a_key_with_one_changed_character_is_refused(token: Token, data: st.DataObject) -> None:
    written = token.write()
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw((st.sampled_from(DIGITS) | st.characters()).filter(lambda each: each != written[place]))
    with pytest.raises(Malformed):
        Token.parse(written[:place] + other + written[place + 1 :])


@hypothesis.given(TOKENS, st.data())
def test_a_key_that_is_cut_or_lengthened_is_refused(token: Token, data: st.DataObject) -> None:
    written = token.write()
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    longer = written + data.draw(st.text(DIGITS + "\n _", min_size=1))
    for text in (cut, longer, f" {written}", written.upper()):
        with pytest.raises(Malformed):
            Token.parse(text)


@hypothesis.given(st.text())
def test_any_other_text_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(Malformed, match=f"^{re.escape(str(Malformed.__doc__))}$"):
        Token.parse(text)


def test_a_megabyte_is_refused() -> None:
    for text in ("dt_" + "a" * 2**20, "a" * 2**20, "_" * 2**20):
        with pytest.raises(Malformed):
            Token.parse(text)


def test_the_secret_of_another_key_does_not_match() -> None:
    token, other = Token.create(), Token.create()
    assert not Token(token.key_id, other.secret).matches(token.digest())


def test_keys_differ_and_have_the_documented_form() -> None:
    tokens = [Token.create() for _ in range(1_000)]
    assert len({token.key_id for token in tokens}) == len({token.secret for token in tokens}) == 1_000
    assert all(re.fullmatch("dt_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", token.write()) for token in tokens)
    assert all(is_id(token.key_id) for token in tokens)


def test_a_secret_is_not_in_the_representation() -> None:
    token = Token.create()
    assert token.secret not in repr(token)


@pytest.mark.parametrize("text", ["", "a" * 11, "a" * 13, "aaaaaaaaaaa-", "aaaaaaaaaaa\n", "aaaaaaaaaaaä"])
def test_what_no_key_has_as_its_id_is_none(text: str) -> None:
    assert not is_id(text)


@hypothesis.given(GRANTS)
def test_an_admin_of_all_may_give_away_anything(grant: Grant) -> None:
    assert grant.exceeds(ALL) == []


@hypothesis.given(GRANTS, GRANTS)
def test_a_key_never_gives_away_more_than_it_has(own: Grant, given: Grant) -> None:
    principal = Principal("key:own", own.role, own.may_read_payloads, own.handlers, own.queues)
    is_less = (
        own.role.includes(given.role)
        and given.may_read_payloads <= own.may_read_payloads
        and (own.handlers is None or (given.handlers is not None and given.handlers <= own.handlers))
        and (own.queues is None or (given.queues is not None and given.queues <= own.queues))
    )
    assert (given.exceeds(principal) == []) == is_less


def test_a_key_for_all_handlers_exceeds_one_for_a_few() -> None:
    limited = Principal("key:few", Role.ADMIN, may_read_payloads=True, handlers=frozenset({"Greet"}))
    assert Grant("ci", Role.EDITOR).exceeds(limited) == ["handlers"]
    assert Grant("ci", Role.EDITOR, handlers=frozenset({"Greet"})).exceeds(limited) == []
