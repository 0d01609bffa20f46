"""Random cron expressions."""

from hypothesis import strategies


def field(lowest: int, highest: int) -> strategies.SearchStrategy[str]:
    """Returns texts of a field that are made of numbers."""
    number = strategies.integers(lowest, highest)
    return strategies.one_of(
        strategies.just("*"),
        number.map(str),
        strategies.builds("*/{}".format, strategies.integers(1, highest)),
        strategies.builds("{}/{}".format, number, strategies.integers(1, highest)),
        strategies.tuples(number, number).map(lambda pair: "{}-{}".format(*sorted(pair))),
        strategies.lists(number, min_size=2, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    )


_DAYS = strategies.one_of(
    field(1, 31), strategies.sampled_from(["L", "LW", "l", "1,L", "15,LW", "*/30", "*/29", "1-31/7", "31", "29,30"])
)
_MONTHS = strategies.one_of(field(1, 12), strategies.sampled_from(["jan", "FEB", "feb-apr", "2", "jun,dec", "*"]))
_WEEKDAYS = strategies.one_of(
    field(0, 7), strategies.sampled_from(["sun", "Mon-Fri", "5L", "0L", "7L", "fri#2", "mon#1,wed#5", "7#3", "1,5L"])
)
EXPRESSIONS = strategies.one_of(
    strategies.tuples(field(0, 59), field(0, 23), _DAYS, _MONTHS, _WEEKDAYS),
    strategies.tuples(field(0, 59), field(0, 59), field(0, 23), _DAYS, _MONTHS, _WEEKDAYS),
).map(" ".join)
"""Of five and of six fields, with all that may stand in them."""
