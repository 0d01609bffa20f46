"""Advice on what to write instead of an invalid field, for the syntax of other programs."""

import re

from duetime_core.model.recurrence import field

_FULL_NAME = re.compile(r"[A-Z]{4,}")
_NAME = re.compile(r"[A-Z]{3,}")
_REVERSED = re.compile(r"([A-Z0-9]+)-([A-Z0-9]+)", re.ASCII)
_HASH = re.compile(r"H(?:\(([0-9-]+)\))?(/[0-9]+)?", re.ASCII)
_LAST_NAMED = re.compile(r"([A-Z]{3})[A-Z]*(?:L|#L)", re.ASCII)
_MOST_SHOWN = 40
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


_LONGEST_STEP = 86_400


def for_term(wrong: field.Field, term: str) -> str:
    """Returns advice for an invalid part of a field, as the end of a sentence; empty if there is none."""
    if not term:
        return "a comma stands between two values"
    if "?" in term:
        return "? stands alone, for a day of month or of week: write *"
    if found := _HASH.fullmatch(term):
        instead = (found[1] or "*") + found[2] if found[2] else str(wrong.lowest)
        return f"H, Jenkins' hash, is not supported: write, for example, {shown(instead)}, and use jitter"
    if wrong.name in _SECONDS and term == str(wrong.highest + 1):
        return "it begins again with 0"
    if "~" in term:
        return "a random value is not supported: write one value, and use jitter"
    if re.search(r"/0+$", term):
        return "a step is 1 or more"
    if wrong is field.DAY and re.fullmatch(r"L-[0-9]+W?", term):
        return "days before the last one are not supported: write a day such as 28, or L"
    if wrong is field.DAY and re.fullmatch(r"[0-9]+W", term):
        return f"the weekday nearest to a day is not supported: write {shown(term[:-1])}, or LW for the last weekday"
    if wrong is field.WEEKDAY and term == "L":
        return "write sat for each Saturday, or 6L for the last one"
    if wrong is field.WEEKDAY and (found := _LAST_NAMED.fullmatch(term)) and found[1] in wrong.names:
        return f"write {shown(f'{wrong.names.index(found[1])}L')}"
    if wrong is field.WEEKDAY and "#" in term:
        return "# is followed by 1 to 5, such as fri#2"
    return _readable(wrong, term)


def for_step(wrong: field.Field, term: str, step: int) -> str:
    """Returns the error for a step beyond its field's range, with advice."""
    span = _SECONDS.get(wrong.name)
    per = {"second": "minute", "minute": "hour", "hour": "day"}.get(wrong.name)
    if span is None or per is None or step > _LONGEST_STEP:
        return f"the {wrong.name} is wrong: its steps are 1 to {wrong.highest}, not {shown(term)}"
    said = f"the {wrong.name} is wrong: {shown(term)} is once a{'n' if per == 'hour' else ''} {per}"
    if step == wrong.highest + 1:
        return f"{said}: write 0 for that, or a step of 1 to {wrong.highest}"
    return (
        f"{said}: for each {step} {wrong.name}s give interval {step * span}s instead, or a step of 1 to {wrong.highest}"
    )


def _readable(wrong: field.Field, term: str) -> str:
    """Returns the same with names of three letters, or as two ranges instead of one that runs backwards."""
    short = _FULL_NAME.sub(lambda name: name[0][:3] if name[0][:3] in wrong.names else name[0], term)
    candidates = [short]
    if found := _REVERSED.fullmatch(short):
        lowest, highest = str(wrong.lowest), str(wrong.highest)
        if found[1] in wrong.names:
            lowest, highest = wrong.names[0], wrong.names[-1]
        candidates.append(f"{found[1]}-{highest},{lowest}-{found[2]}")
    read = (candidate for candidate in candidates if field.wrong_term(wrong, candidate) is None)
    return next((f"write {shown(candidate)}" for candidate in read), "")


def shown(text: str) -> str:
    """Returns a part of an expression in quotes: names in small letters, and signs such as L in capital ones."""
    short = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    return repr(_NAME.sub(lambda name: name[0].lower(), short))
