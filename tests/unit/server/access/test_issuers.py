"""The file of issuers: what it may have, and which grant counts."""

import pathlib
from typing import Any

import pytest

from duetime_core.model.access import Role
from duetime_server.access import issuers
from tests.support import issuers as written

URL = "https://issuer.test/realms/corp"


def read(directory: pathlib.Path, text: str) -> issuers.Issuers:
    path = directory / "jwt.toml"
    path.write_text(text)
    return issuers.read(str(path))


def corp(**changes: str) -> str:
    """Returns a file with one issuer, with these lines instead of its own."""
    lines = {"issuer": f'"{URL}"', "audience": '"duetime"', "claim": '"groups"'} | changes
    settings = "\n".join(f"{name} = {value}" for name, value in lines.items() if value)
    return f'[corp]\n{settings}\n[[corp.grants]]\nvalue = "ops"\nrole = "operator"\n'


def test_an_issuer_has_all_algorithms_and_its_own_keys_by_default(tmp_path: pathlib.Path) -> None:
    issuer = read(tmp_path, corp())["corp"]
    assert (issuer.issuer, issuer.audience, issuer.claim) == (URL, "duetime", ["groups"])
    assert (issuer.algorithms, issuer.keys_file) == (["RS256", "PS256", "ES256", "EdDSA"], None)
    assert issuer.grants == [issuers.Grant(value="ops", role=Role.OPERATOR)]


def test_a_file_may_name_several_issuers_by_aliases(tmp_path: pathlib.Path) -> None:
    other = corp(issuer='"https://other.test"').replace("corp", "ci-2")
    assert list(read(tmp_path, corp() + other)) == ["corp", "ci-2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: it has no issuer; write a table for each, such as [corp]"),
        ("[corp", "cannot read"),
        ("corp = 1", "corp: Input should be a valid dictionary or instance of Issuer"),
        (corp(issuer=""), "corp.issuer: Field required"),
        (corp(issuer='"http://issuer.test"'), "corp.issuer: must be an https:// URL without a query"),
        (corp(issuer='"https://user@issuer.test"'), "corp.issuer: must be an https:// URL"),
        (corp(issuer='"https://issuer.test?a=b"'), "corp.issuer: must be an https:// URL"),
        (corp(issuer='"https://"'), "corp.issuer: must be an https:// URL"),
        (corp(issuer='"https://issuer.test:x"'), "corp.issuer: must be an https:// URL"),
        (corp(audience=""), "corp.audience: Field required"),
        (corp(audience='""'), "corp.audience: String should have at least 1 character"),
        (corp(audience='["a", "b"]'), "corp.audience: Input should be a valid string"),
        (corp(claim="[]"), "corp.claim: List should have at least 1 item"),
        (corp(algorithms='["HS256"]'), "corp.algorithms[0]: Input should be 'RS256', 'PS256', 'ES256' or 'EdDSA'"),
        (corp(algorithms='["none"]'), "corp.algorithms[0]: Input should be 'RS256'"),
        (corp(algorithms="[]"), "corp.algorithms: List should have at least 1 item"),
        (corp(keys_file='"/nowhere/keys.json"'), "corp.keys_file: cannot use /nowhere/keys.json: No such file"),
        (corp(keys_file='"/dev/null"'), "corp.keys_file: cannot use /dev/null: it is not JSON"),
        (corp(audiences='"duetime"'), "corp.audiences: Extra inputs are not permitted"),
        (corp().replace("operator", "root"), "corp.grants[0].role: Input should be 'submitter', 'viewer'"),
        (corp().replace('"ops"', '""'), "corp.grants[0].value: String should have at least 1 character"),
        (corp() + "queues = []", "corp.grants[0].queues: List should have at least 1 item"),
        (corp() + 'may_read_payloads = "yes"', "corp.grants[0].may_read_payloads: Input should be a valid boolean"),
        (corp().partition("[[")[0], "corp.grants: Field required"),
        (corp() + corp().replace("[corp", "[two"), "two.issuer: is that of [corp] too; write its grants in one table"),
        (corp().replace("[corp]", '["corp:x"]').replace("[[corp.", '[["corp:x".'), "corp:x: an alias has 1 to 32"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: pathlib.Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "jwt.toml") in str(caught.value)


@pytest.mark.parametrize("path", ["/nowhere/jwt.toml", "/", "\0"])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        issuers.read(path)


def test_a_file_of_keys_needs_one_for_the_allowed_algorithms(tmp_path: pathlib.Path) -> None:
    keys = written.Issuer().write_keys(tmp_path)
    assert read(tmp_path, corp(keys_file=f'"{keys}"'))["corp"].keys_file == keys
    with pytest.raises(ValueError, match="it has no public key with a 'kid' for EdDSA"):
        read(tmp_path, corp(algorithms='["EdDSA"]', keys_file=f'"{keys}"'))


@pytest.mark.parametrize(
    ("claim", "claims", "value"),
    [
        ('"groups"', {"groups": ["first"]}, "first"),
        ('"groups"', {"groups": ["second", "first"]}, "first"),  # the file's order counts
        ('"groups"', {"groups": "second"}, "second"),
        ('"scope"', {"scope": "openid second"}, "second"),
        ('"groups"', {"groups": "of two words"}, "of two words"),
        ('["realm_access", "roles"]', {"realm_access": {"roles": ["second"]}}, "second"),
        ('"https://duetime.test/groups"', {"https://duetime.test/groups": ["first"]}, "first"),
        ('"groups"', {}, None),
        ('"groups"', {"groups": ["First", "first ", "other", 1, None, ["first"], {"first": 1}]}, None),
        ('"groups"', {"groups": {"first": True}}, None),
        ('"groups"', {"groups": 1}, None),
        ('["realm_access", "roles"]', {"realm_access": ["roles"]}, None),
        ('"realm_access.roles"', {"realm_access": {"roles": ["first"]}}, None),
    ],
)
def test_the_first_grant_whose_value_the_claim_has_counts(
    tmp_path: pathlib.Path, claim: str, claims: dict[str, Any], value: str | None
) -> None:
    grants = "".join(
        f'[[corp.grants]]\nvalue = "{each}"\nrole = "viewer"\n' for each in ("first", "second", "of two words")
    )
    issuer = read(tmp_path, corp(claim=claim).partition("[[")[0] + grants)["corp"]
    found = issuer.grant(claims)
    assert (None if found is None else found.value) == value
