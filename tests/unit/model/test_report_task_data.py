"""Validation of Generate Report's task_data."""

from typing import Any

import pydantic
import pytest

from duetime_core.model import builtin


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"period": "last_year"}, "last_day"),
        ({"period": {"start_time": "2027-01-02T00:00:00Z", "end_time": "2027-01-01T00:00:00Z"}}, "after start_time"),
        ({"period": {"start_time": "2027-01-01T00:00:00", "end_time": "2027-01-02T00:00:00Z"}}, "timezone"),
        ({"period": {"start_time": "2000-01-01T00:00:00Z", "end_time": "2027-01-01T00:00:00Z"}}, "ten years"),
        ({"time_zone": "Europe/Lisboa"}, "did you mean Europe/Lisbon"),
        ({"email": "nobody"}, "email"),
        ({"mail_to": "ada@example.com"}, "mail_to"),
    ],
)
def test_wrong_task_data_is_named(wrong: dict[str, Any], right: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=right):
        builtin.Report.model_validate(wrong)
