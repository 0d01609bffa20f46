"""References to secrets in task_data."""

from typing import Any

import pytest

from duetime_core.model import secret

NO_NAMES: list[object] = [None, 1, ["x"], {}]


def reference(name: object = "smtp/password") -> dict[str, Any]:
    return {"$secret": name}


@pytest.mark.parametrize("name", ["a", "smtp/password", "hooks/a.b/C-1_x", "-", "_", "a..b", "x" * 255])
def test_a_secret_can_have_the_name_of_a_file_below_a_directory(name: str) -> None:
    assert secret.is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".a", "a/.b", "..data/a"),
        *("a b", "a\n", "a\0", "a*", "a=b", "é", "~", "a\\b", "x" * 256),
    ],
)
def test_no_name_leads_upwards_or_to_a_hidden_file(name: str) -> None:
    assert not secret.is_name(name)


def test_references_are_found_wherever_they_are() -> None:
    assert secret.are_in({"a": [1, {"b": [reference()]}]})
    assert secret.are_in(reference())
    assert not secret.are_in({"a": ["$secret", {"b": {"secret": "$secret"}}], "c": None})


def test_each_reference_is_replaced_in_a_copy() -> None:
    given = {"a": reference("x"), "b": [reference("y"), 1, [reference("x")]], "c": {"d": "e"}}
    assert secret.replaced(given, str.upper) == {"a": "X", "b": ["Y", 1, ["X"]], "c": {"d": "e"}}
    assert given["a"] == {"$secret": "x"}


@pytest.mark.parametrize(
    ("task_data", "problem"),
    [
        (reference(), "must not be a reference to a secret as a whole; write it where the value belongs"),
        (
            {"a": [{"$secret": "x", "b": 1}]},
            r'\.a\[0\]: must have \$secret alone, as in {"\$secret": "smtp/password"}: it is a reference to a secret',
        ),
        ({"a": {"b": reference("../x")}}, r"\.a\.b\.\$secret: must be the name of a secret, such as smtp/password: at"),
        *(({"a": reference(name)}, r"\.a\.\$secret: must be the name of a secret") for name in NO_NAMES),
        ({"a": [reference()] * 21}, "must have at most 20 references to secrets"),
    ],
)
def test_an_object_that_is_no_reference_is_refused_with_its_path(task_data: dict[str, Any], problem: str) -> None:
    with pytest.raises(secret.InvalidReference, match=f"^{problem}"):
        secret.replaced(task_data, str)


def test_twenty_references_are_replaced() -> None:
    assert secret.replaced({"a": [reference("x")] * 20}, str) == {"a": ["x"] * 20}
