"""Time zones, by the tzdata package alone.

The system's own files may be older, newer or missing, and then two processes would disagree about when work is due.
"""

import difflib
import functools
import importlib.resources
import zoneinfo

import tzdata

MOST_CHARACTERS = 64


class UnknownZoneError(ValueError):
    """There is no time zone with that name. The message suggests similar names."""


@functools.cache
def names() -> frozenset[str]:
    """Returns the IANA names of all zones."""
    text = importlib.resources.files("tzdata").joinpath("zones").read_text()
    return frozenset(text.split())


@functools.cache
def zone(name: str) -> zoneinfo.ZoneInfo:
    """Returns the zone of that name; raises UnknownZoneError."""
    if len(name) > MOST_CHARACTERS:
        raise UnknownZoneError(f"must be at most {MOST_CHARACTERS} characters; it has {len(name)}")
    if name not in names():
        raise UnknownZoneError(f"{name!r} is not a time zone{_meant(name)}")
    file = importlib.resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
    with file.open("rb") as opened:
        return zoneinfo.ZoneInfo.from_file(opened, key=name)


def version() -> str:
    """Returns the version of the time zone database, such as `2026b`."""
    return str(tzdata.IANA_VERSION)


def _meant(name: str) -> str:
    by_lower = {known.lower(): known for known in names()}
    by_city = {known.lower().rpartition("/")[2]: known for known in sorted(names(), reverse=True)}
    wanted = name.strip().lower().replace(" ", "_")
    found = [by_lower[key] for key in difflib.get_close_matches(wanted, by_lower, n=2)]
    found += [by_city[key] for key in difflib.get_close_matches(wanted.rpartition("/")[2], by_city, n=1)]
    if not found:
        return "; IANA's names are such as Europe/Lisbon or UTC"
    return f"; did you mean {' or '.join(dict.fromkeys(found))}?"
