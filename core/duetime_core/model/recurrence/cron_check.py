"""Validation of cron expressions, with advice on what to write instead."""

from duetime_core.model.recurrence import advice, dialects, expression, field

MOST_CHARACTERS = 256
_WITH_SECONDS = len(field.FIELDS)
_SECONDS_FIRST = "of six fields the first one is the second"
_MOST_SAID = 300
"""The longest error message, in characters. Later fields are not reported."""


class CronError(ValueError):
    """An invalid expression, or a valid one that is probably a mistake. The message says what would be valid."""


def check(text: str) -> None:
    """Raises CronError if the text is invalid, never matches, or has a step beyond its field's range."""
    if len(text) > MOST_CHARACTERS:
        raise CronError(f"must be at most {MOST_CHARACTERS} characters; it has {len(text)}")
    try:
        read = expression.read(text)
    except ValueError:
        raise CronError(dialects.instead(text) or _field_by_field(expression.texts(text))) from None
    wide = _too_wide_steps(expression.texts(text))
    if wide:
        raise CronError("; ".join(wide))
    if not read.has_dates:
        raise CronError("never matches: there is no such date")


def _field_by_field(texts: list[str]) -> str:
    if len(texts) not in (5, 6):
        return (
            f"has {len(texts)} field{'s' if len(texts) != 1 else ''}, not 5 (minute, hour, day of month, month, day of "
            f"week) or 6 (second first); or one of {', '.join(expression.NAMED)}"
        )
    found: list[str] = []
    for each, text in _named(texts):
        if sum(map(len, found)) > _MOST_SAID:
            return f"cannot be read: {'; '.join(found)}; and perhaps more"
        if (term := field.wrong_term(each, text)) is None:
            continue
        said = advice.for_term(each, term)
        if not said and each is field.WEEKDAY and len(texts) == _WITH_SECONDS:
            said = _SECONDS_FIRST
        found.append(f"the {each.name} is wrong: {each.allowed}, not {advice.shown(term)}{said and f'; {said}'}")
    return "cannot be read: " + "; ".join(found)


def _too_wide_steps(texts: list[str]) -> list[str]:
    found = []
    for each, text in _named(texts):
        if (wide := field.too_wide_step(each, text)) is not None:
            said = advice.for_step(each, *wide)
            found.append(f"{said}; {_SECONDS_FIRST}" if each is field.WEEKDAY and len(texts) == _WITH_SECONDS else said)
    return found


def _named(texts: list[str]) -> list[tuple[field.Field, str]]:
    named = list(zip(field.FIELDS[-len(texts) :], texts, strict=True))
    return [(each, "*" if text == "?" and each in (field.DAY, field.WEEKDAY) else text) for each, text in named]
