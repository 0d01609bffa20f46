"""What errors and logs quote of a caller: in part, and without what steers a terminal."""

import io
import logging as standard_logging
import sys
import unicodedata

import pytest
import structlog

from duetime_core.model import quoting
from duetime_core.process import logging

FORGED = "\x1b]0;owned\x07\r\nlevel=info event=forged \x9b31m \x7f \u2028 \u2029 \u202e \u2066"


def test_whatever_steers_a_terminal_or_ends_a_line_is_escaped() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        written = quoting.escaped(f"a{character}b")
        written.encode()  # also what no stream takes
        is_harmless = unicodedata.category(character) not in ("Cc", "Zl", "Zp", "Cs")
        if is_harmless and unicodedata.bidirectional(character) not in ("LRE", "RLE", "PDF", "LRO", "RLO"):
            continue
        assert written == f"a{character.encode('unicode_escape').decode()}b", hex(number)


@pytest.mark.parametrize("text", ["", "Müller\xa0🙂 = \"x\" \\ 'y'", "👩\u200d🚀", "日本語"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert quoting.escaped(text) == text
    assert quoting.sentence(text) == text


def test_a_sentence_loses_its_middle_and_keeps_what_would_be_right() -> None:
    for filling in ("A" * 20_000, "ü" * 20_000, "\U0001f600" * 20_000, "\ud800" * 20_000):
        sentence = quoting.sentence(f"'{filling}' is not a time zone: such as Europe/Lisbon")
        assert sentence.startswith(f"'{filling[:3]}".split("\ud800")[0])
        assert sentence.endswith("is not a time zone: such as Europe/Lisbon")
        assert len(sentence.encode()) < 1_000


def test_all_values_of_a_log_line_are_escaped() -> None:
    values = {"name": FORGED, "many": [FORGED], "error": ValueError(FORGED), "count": 3, "flag": True, "none": None}
    escaped = logging.escape(None, "info", {"event": FORGED, **values})
    assert {"count": 3, "flag": True, "none": None}.items() <= escaped.items()
    line = structlog.processors.LogfmtRenderer()(None, "info", escaped)
    assert line.isprintable()
    assert "forged" in line


def test_a_log_line_of_a_library_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    handler = standard_logging.StreamHandler(stream)
    handler.setFormatter(logging.Escaping("%(message)s"))
    library = standard_logging.Logger("a.library")
    library.addHandler(handler)
    try:
        raise ValueError(FORGED)
    except ValueError:
        library.exception("it failed with %s", FORGED)
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert "Traceback" in line
