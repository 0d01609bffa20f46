"""Texts use the words of docs/glossary.md, and none of those that it replaced.

To hold another folder to the table, add it to `FOLDERS`.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import typer.main

from duetime_client.cli import app
from duetime_stack import up
from tests.support import pages

FORBIDDEN = {
    r"DUETIME[_ ]PLACES|\d places|\b(all|free|its|their) places": "concurrency, slots",
    r"\bsuspect|suspicion": "poison task, quarantine",
    r"\bbears? (to|that|it)\b": "tolerate, be idempotent",
    r"\bh(o|e)ld(s|ing)? back\b": "limited, delayed",
    r"signs? of life|itself known|themselves known": "heartbeat",
    r"\bwhat (waits|is due)\b": "waiting tasks, due tasks",
    r"changes? of (the|a) clock": "DST transition",
    r"\bvigil": "lease guard",
    r"hous(e|ing)keep|keeps? house": "maintenance",
    r"\bhand(s|ed)?[- ](it |them |the task |the rest )?back|handed[ _]back": "release",
    r"\btak(es|e|en) back": "reclaim",
    r"\broll(s|ed|ing) (it )?on\b": "advance",
    r"\bfor ever\b|\bforever\b": "indefinitely",
    r"\bmend(s|ed)?\b": "fix",
    r"\bwhoever\b|\bsomebody\b": "the actor's name",
    r"\bis (gone|back)[;,.:]": "is unavailable, recovered",
    r"\b(goes|gone) on\b": "continues",
    r"\bgives? up\b": "fails, ends",
    r"\basks? again\b": "retry",
    r"\b(tells?|told)\b": "reports, returns, logs, names",
}
"""What is not written, as a regular expression → what is."""

FOLDERS = ["bench", "clients/python", "core", "envoy", "proto", "server", "stack", "tests", "tools", "worker"]
"""Where code, its comments and its messages are held to the table too."""
_OLD = {"0011_names.py", "test_migrations.py", "test_words.py"}
"""Files that name the words of an earlier release, or those of the table."""
_SUFFIXES = {".lua", ".mako", ".proto", ".py", ".sql", ".toml", ".yaml"}

FIELD_TERMS = ["idempotent", "heartbeat", "rate limit", "at-least-once", "DST", "daylight-saving", "quarantine"]


def found(text: str) -> list[str]:
    """Returns each forbidden word, with what to write instead and its line."""
    return [
        f"{match[0]!r}: write {instead}, in: {line.strip()[:160]}"
        for line in text.splitlines()
        for pattern, instead in FORBIDDEN.items()
        if (match := re.search(pattern, line, re.IGNORECASE))
    ]


def helps(command: Any) -> Iterator[str]:
    """Yields the help of a command, and of each below it."""
    yield command.get_help(command.make_context("duetime", [], resilient_parsing=True))
    for each in getattr(command, "commands", {}).values():
        yield from helps(each)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_a_page_uses_the_words_of_the_glossary(page: pathlib.Path) -> None:
    assert found(page.read_text()) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_uses_the_words_of_the_glossary(folder: str) -> None:
    files = [path for path in (pages.ROOT / folder).rglob("*") if path.suffix in _SUFFIXES and path.name not in _OLD]
    assert files
    assert [f"{path.name}: {each}" for path in files for each in found(_words(path))] == []


def _words(path: pathlib.Path) -> str:
    """Returns the text with each name as words; that of a migration as it is, because it uses the names of its time."""
    text = path.read_text()
    return text if path.parent.name == "versions" else text.replace("_", " ")


def test_the_command_line_uses_the_words_of_the_glossary() -> None:
    stack = typer.Typer(rich_markup_mode=None, add_completion=False)
    stack.command()(up.command)
    texts = [*helps(typer.main.get_command(app.build())), *helps(typer.main.get_command(stack))]
    assert len(texts) > 20
    assert [line for text in texts for line in found(text)] == []


def test_the_pages_use_the_terms_of_the_field() -> None:
    words = " ".join(page.read_text() for page in pages.pages()).lower()
    assert [term for term in FIELD_TERMS if term.lower() not in words] == []
