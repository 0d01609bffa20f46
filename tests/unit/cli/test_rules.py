"""The notation of blackouts on the command line; the server checks hours and days."""

import pytest
import typer

from duetime_client import Blackout
from duetime_client.cli import rules

READ = {
    "22:00-06:00": Blackout(from_time="22:00", until_time="06:00"),
    "22:00-24:00": Blackout(from_time="22:00", until_time="24:00"),
    "sat,sun": Blackout(days=["sat", "sun"]),
    "sat, sun move": Blackout(days=["sat", "sun"], behavior="move"),
    "Mon-Fri 9:00-17:00": Blackout(days=["Mon-Fri"], from_time="9:00", until_time="17:00"),
    "monday 0:00-24:00 skip": Blackout(days=["monday"], from_time="0:00", until_time="24:00", behavior="skip"),
    "2027-12-24": Blackout(first_date="2027-12-24"),
    "2027-12-24 move": Blackout(first_date="2027-12-24", behavior="move"),
    "2027-12-24..2027-12-26": Blackout(first_date="2027-12-24", last_date="2027-12-26"),
    "2027-12-24..9999-12-31": Blackout(first_date="2027-12-24", last_date="9999-12-31"),
}


@pytest.mark.parametrize("text", READ)
def test_a_blackout_is_parsed(text: str) -> None:
    assert rules.parse_blackout(text) == READ[text]


@pytest.mark.parametrize(
    "text", ["", "move", "night", "24.12.2027", "2027-12-24 22:00-06:00", "22:00", "sat 22:00", "2027-12"]
)
def test_an_invalid_blackout_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a blackout such as '22:00-06:00', 'sat,sun'"):
        rules.parse_blackout(text)
