"""What must not be seen is replaced in whatever form it appears."""

import base64
import html
import json
import random
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duetime_worker import redaction

VALUE = 'pä"ss\\w/ö&rd\n<Zx9+q>?'
LABEL = "[secret a]"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON with its letters": lambda value: json.dumps(value, ensure_ascii=False),
    "Python": repr,
    "HTML": html.escape,
    "a URL's path": urllib.parse.quote,
    "a URL's query": urllib.parse.quote_plus,
    "basic authentication": lambda value: base64.b64encode(f"ada:{value}".encode()).decode(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 in a longer text": lambda value: base64.b64encode(f"is: {value}, it is".encode()).decode(),
    "base64 of URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
}


def redactor(*values: str) -> redaction.Redactor:
    return redaction.Redactor((value, LABEL) for value in values)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("value", [VALUE, "hunter2!", "x&y\n"])
def test_a_value_is_replaced_in_each_form(form: Callable[[str], str], value: str) -> None:
    shown = redactor(value).text(f"before {form(value)} after")
    assert LABEL in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert len(shown) <= len(f"before {LABEL} after") + 24, "little is left of it: quotes, and what is around it"


@given(value=st.text("abc", min_size=4), before=st.text("abc", max_size=30), after=st.text("abc", max_size=30))
def test_no_text_keeps_a_value(value: str, before: str, after: str) -> None:
    shown = redactor(value).text(before + value + after)
    assert value not in shown.replace(LABEL, " ")


@given(
    value=st.text("abcdefghij", min_size=20, max_size=200),
    start=st.integers(0, 190),
    length=st.integers(10, 100),
)
def test_ten_characters_of_a_long_value_are_replaced_too(value: str, start: int, length: int) -> None:
    part = value[start : start + length]
    shown = redactor(value).text(f"{part}…")
    assert shown == (f"{LABEL}…" if len(part) >= 10 else f"{part}…")


def test_a_text_without_the_values_stays_as_it_is() -> None:
    for text in ("", "short", "ConnectionRefusedError: [Errno 111] Connect call failed", "Zx9"):
        assert redactor(VALUE).text(text) == text


def test_values_are_replaced_by_their_own_labels() -> None:
    found = redaction.Redactor([("hunter2", "[secret a]"), ("correct horse battery", "[secret b]")])
    assert found.text("hunter2, correct horse battery") == "[secret a], [secret b]"


def test_the_label_of_one_value_is_no_place_for_another() -> None:
    found = redaction.Redactor([("secret", "[secret a]"), ("correct horse battery", "[secret b]")])
    assert found.text("correct horse battery") == "[secret b]"


def test_results_are_redacted_in_texts_names_and_numbers() -> None:
    found = redactor("hunter2", "12345678")
    assert found.members({"a": ["x hunter2", {"hunter2": None}], "b": 12345678, "c": 1.5, "d": True}) == {
        "a": [f"x {LABEL}", {LABEL: None}],
        "b": LABEL,
        "c": 1.5,
        "d": True,
    }


def test_only_the_run_that_began_it_is_redacted() -> None:
    assert redaction.text("hunter2") == "hunter2"
    redaction.begin(redaction.Hidden(texts=redactor("hunter2", "planted"), results=redactor("hunter2")))
    assert redaction.text("hunter2 planted") == f"{LABEL} {LABEL}"
    assert redaction.result({"a": "hunter2 planted"}) == {"a": f"{LABEL} planted"}
    redaction.end()
    assert redaction.text("hunter2") == "hunter2"


def test_the_largest_results_are_redacted_in_less_than_a_second() -> None:
    chance = random.Random(7)
    values = ["".join(chance.choices("abcdefgh", k=16_000)) for _ in range(4)]
    result = {"a": ["".join(chance.choices("ijklmnop", k=1_000)) for _ in range(256)]}
    began = time.process_time()
    assert redactor(*values).members(result) == result
    assert time.process_time() - began < 1


def test_thousands_of_short_values_take_no_longer_for_each_that_is_found() -> None:
    values = [f"{number:05}" for number in range(5_000)]
    found = redactor("a value of many characters", *values)
    found.prepare()
    text = "a value of many characters, 01999 " * 3_000
    began = time.process_time()
    assert found.text(text) == f"{LABEL}, {LABEL} " * 3_000
    assert time.process_time() - began < 0.5


def test_the_label_of_a_short_value_is_no_place_for_another() -> None:
    found = redaction.Redactor([("hunter2", "[secret smtp]"), ("smtp", "[secret a]")])
    assert found.text("hunter2 smtp") == "[secret smtp] [secret a]"


def test_a_value_that_is_no_valid_unicode_is_replaced_too() -> None:
    assert redactor("half \ud83d of a pair").text("a half \ud83d of a pair") == f"a {LABEL}"
