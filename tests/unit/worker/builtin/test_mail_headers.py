"""Mail headers round-trip through parsers that share no code with the writer."""

import email
import email.header
import email.message
import email.policy
import email.utils
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duetime_core.model.builtin import addresses
from duetime_core.model.builtin.addresses import Address
from duetime_worker.builtin import header_lines

NAMES = st.one_of(
    st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40),
    st.text(alphabet="Aé, ;:\"\\()<>@[]?=_.👩‍🚀'", max_size=120),
    st.text(alphabet="ÄÖÜ €𝒜", min_size=100, max_size=900),
    st.sampled_from(["=?utf-8?q?=2C?=", "=?utf-8?b?LA==?=", '"Ada"', "Lovelace, Ada", "Zoë", "O'Brien", "a\u00a0b"]),
).map(str.strip)
SPECS = st.sampled_from(
    ["ada@example.com", "root@localhost", "admin@mailserver1", '"a b"@example.test', "o'neil+x@mail.corp.local"]
).map(lambda spec: spec.rpartition("@"))
ADDRESSES = st.builds(lambda name, spec: Address(name, spec[0], spec[2]), NAMES, SPECS)


def read(field: str, value: str) -> email.message.Message:
    raw = f"{field}: {value}\r\nX-Next: 1\r\n\r\n".encode()
    lines = raw.split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:-3])
    for line in lines:
        words = re.findall(rb"=\?utf-8\?b\?[^?\s]*\?=", line)
        assert all(len(word) <= 75 for word in words)
        assert not words or len(line) <= 76 or line.startswith(b" <")
    message = email.message_from_bytes(raw)
    assert message["X-Next"] == "1"
    return message


def decoded(text: str) -> str:
    return str(email.header.make_header(email.header.decode_header(text)))


@settings(max_examples=600, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=8), st.sampled_from(["To", "Cc", "Reply-To", "From"]))
@example([Address(f"Zoë, {number}", "a", "example.com") for number in range(100)], "To")
@example([Address("é" * 900, "a" * 64, "b" * 60)], "To")
@example([Address("Renée Ünal", "renee", "example.com"), Address("Jürgen Groß", "juergen", "example.com")], "To")
def test_addresses_round_trip(wanted: list[Address], field: str) -> None:
    value = header_lines.addresses(field, wanted)
    assert value.isascii()
    found = [(decoded(name), spec) for name, spec in email.utils.getaddresses(read(field, value).get_all(field, []))]
    assert found == [(address.name, address.spec) for address in wanted]


@settings(max_examples=300, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=4))
def test_addresses_round_trip_through_pythons_modern_parser(wanted: list[Address]) -> None:
    raw = f"To: {header_lines.addresses('To', wanted)}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert [address.addr_spec for address in message["To"].addresses] == [address.spec for address in wanted]
    # Many releases add spaces between encoded words, and collapse several.
    names = ["".join(address.display_name.split()) for address in message["To"].addresses]
    assert names == ["".join(address.name.split()) for address in wanted]


@settings(max_examples=600, deadline=None)
@given(
    st.one_of(
        st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=300),
        st.text(alphabet="ab  =?", max_size=998),
        st.text(alphabet="aé ", min_size=500, max_size=998),
    )
)
@example("x" * 998)
@example(("word " * 200).strip())
@example("  two  spaces  ")
@example("=?utf-8?q?not_encoded?=")
def test_a_subject_round_trips(subject: str) -> None:
    value = header_lines.text("Subject", subject)
    assert value.isascii()
    message: Any = read("Subject", value or "")
    assert decoded(message["Subject"].replace("\r\n", "").replace("\n", "")) == subject


def test_words_end_after_spaces_for_readers_that_add_one_between_them() -> None:
    name = "Jürgen Groß von und zu der Großen Wüste am Ö-See bei Zürich"
    raw = f"To: {header_lines.addresses('To', [Address(name, 'a', 'example.com')])}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["To"].addresses[0].display_name.split() == name.split()


def test_each_address_has_its_own_line() -> None:
    value = header_lines.addresses("To", [Address("Ada", "ada", "example.com"), Address("", "bob", "example.com")])
    assert value == "Ada <ada@example.com>,\r\n bob@example.com"


@settings(max_examples=300, deadline=None)
@given(NAMES, st.booleans())
def test_a_name_may_be_bare_or_quoted(name: str, is_quoted: bool) -> None:
    if is_quoted:
        written = '"' + re.sub(r'(["\\])', r"\\\1", name) + '" <ada@example.com>'
        assert addresses.parse(written) == Address(name, "ada", "example.com")
    elif not re.search(r'[@<>"]', name):
        assert addresses.parse(f"{name} <ada@example.com>") == Address(name, "ada", "example.com")


@pytest.mark.parametrize(
    "right",
    [
        "root@localhost", "ops@mail.corp.local", "admin@mailserver1", "x@[127.0.0.1]", "x@[IPv6:::1]", "x@example.test",
        "a@b.invalid", "a@1", "a@127.0.0.1", '"a b"@x', '"a\\"b"@x', "o'neil+tag@x.de", "bärbel@example.com",
        f"{'a' * 64}@{'b' * 63}.de", "Postmaster@Example.COM",
    ],
)  # fmt: skip
def test_valid_addresses_are_accepted(right: str) -> None:
    assert addresses.parse(right).spec == right
    assert addresses.parse(f"Ada <{right}>").spec == right
    assert addresses.parse(f" <{right}> ").spec == right


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("", "it is empty"),
        ("nobody", "'nobody' has no @"),
        ("Ada <nobody>", "has no @"),
        ("@x.de", "before the @"),
        ("a..b@x.de", "before the @"),
        (".a@x.de", "before the @"),
        ("a b@x.de", "before the @"),
        ('"a@x.de', "before the @"),
        (f"{'a' * 65}@x.de", "at most 64 bytes before the @"),
        (f"{'é' * 33}@x.de", "at most 64 bytes before the @"),
        ("a@", "domain"),
        ("a@-x.de", "domain"),
        ("a@x-.de", "domain"),
        ("a@x..de", "domain"),
        ("a@x.de.", "domain"),
        ("a@x_y.de", "domain"),
        (f"a@{'x' * 64}.de", "domain"),
        (f"a@{'x.' * 150}de", "at most 255 bytes after the @"),
        ("a@[127.0.0.256]", "domain"),
        ("a@[::1]", "domain"),
        ("a@☃☃.example\u00ad.", "domain"),
        ("a@x, b@y", r'a list: \["a@example.com", "b@example.com"\]'),
        ("a@x;b@y", "a list"),
        ("a@x b@y", "a list"),
        ("Ada <a@x>, Bob <b@y>", "a list"),
        ("Ada <a@x>, b@y", "a list"),
        ("a@x.de\r\nBcc: b@x.de", "line breaks"),
        ("A\r\nBcc: b@x.de <a@x.de>", "line breaks"),
        ("A\u2028B <a@x.de>", "line breaks"),
        ("a" * 1001, "at most 1000 characters"),
        (7, "as text"),
    ],
)
def test_invalid_addresses_are_refused_with_the_reason(wrong: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        addresses.parse(wrong)


def test_a_non_ascii_domain_is_encoded_as_ascii() -> None:
    assert addresses.parse("ada@bücher.example").spec == "ada@xn--bcher-kva.example"
